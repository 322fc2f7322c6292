from django.db import migrations, models

NUMBER = """
UPDATE streaming_response SET ordinal = numbered.ordinal
FROM (
    SELECT id, ROW_NUMBER() OVER (PARTITION BY conversation_id ORDER BY created_at, id) AS ordinal
    FROM streaming_response
) AS numbered
WHERE numbered.id = streaming_response.id AND numbered.ordinal > 1
"""
"""Until now the clock said which response of a conversation is the newest. (In the database: models
of a million rows take minutes and a gigabyte, and the table is locked meanwhile.)"""


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0007_response_hangs'),
    ]

    operations = [
        migrations.AddField(
            model_name='response',
            name='ordinal',
            field=models.PositiveIntegerField(db_default=1, default=1),
        ),
        migrations.AddField(
            model_name='response',
            name='slot',
            field=models.CharField(blank=True, db_default='', default='', max_length=48),
        ),
        migrations.RunSQL(NUMBER, migrations.RunSQL.noop),
    ]
