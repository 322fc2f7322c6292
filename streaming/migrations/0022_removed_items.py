from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0021_files")]

    operations = [
        migrations.AddField(
            model_name="message",
            name="removed",
            field=models.JSONField(blank=True, null=True),
        ),
    ]
