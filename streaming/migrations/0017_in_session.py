from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0016_titles'),
    ]

    operations = [
        migrations.AddField(
            model_name='response',
            name='in_session',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
