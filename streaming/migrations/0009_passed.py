from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0008_response_order'),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='fields',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='response',
            name='passed',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='message',
            name='role',
            field=models.CharField(choices=[('system', 'System'), ('user', 'User'), ('assistant', 'Assistant'), ('tool', 'Tool')], max_length=9),
        ),
    ]
