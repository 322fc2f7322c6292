from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0005_attempts_merged_visitors'),
    ]

    operations = [
        migrations.CreateModel(
            name='Site',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=32)),
            ],
        ),
    ]
