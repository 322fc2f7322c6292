from django.db import migrations, models


def number(apps, schema_editor):
    """Until now the clock said which response of a conversation is the newest."""
    Response = apps.get_model('streaming', 'Response')
    conversation, ordinal, changed = None, 0, []
    rows = Response.objects.order_by('conversation_id', 'created_at', 'pk').only('pk', 'conversation_id')
    for response in rows.iterator():
        ordinal = ordinal + 1 if response.conversation_id == conversation else 1
        conversation = response.conversation_id
        if ordinal > 1:
            response.ordinal = ordinal
            changed.append(response)
    Response.objects.bulk_update(changed, ['ordinal'], batch_size=500)


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
        migrations.RunPython(number, migrations.RunPython.noop),
    ]
