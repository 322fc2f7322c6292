"""What people do to keep their conversations in order, and what the search looks into."""

from importlib import import_module

from django.db import migrations, models

AddColumn = import_module('streaming.migrations.0010_reasoning').AddColumn


def drop_search_triggers(apps, schema_editor):
    """SQLite drops no column that a trigger names; the next migration makes the index anew."""
    if schema_editor.connection.vendor == 'sqlite':
        for name in ('inserted', 'deleted', 'changed'):
            schema_editor.execute(f'DROP TRIGGER IF EXISTS streaming_search_{name}')


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0011_instructions'),
    ]

    operations = [
        AddColumn(
            model_name='conversation',
            name='pinned',
            field=models.BooleanField(db_default=False, default=False),
        ),
        AddColumn(
            model_name='conversation',
            name='archived',
            field=models.BooleanField(db_default=False, default=False),
        ),
        AddColumn(
            model_name='conversation',
            name='folder',
            field=models.CharField(blank=True, db_default='', default='', max_length=60),
        ),
        AddColumn(
            model_name='message',
            name='searchable',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.RunPython(migrations.RunPython.noop, drop_search_triggers),
    ]
