"""The side list's search is over people's conversations alone.

By itself: PostgreSQL keeps everybody from a table that has got a column until the end of the
migration, and a record may have millions of messages.
"""

from django.db import migrations


def leave_out_what_programs_wrote(apps, schema_editor):
    messages = apps.get_model('streaming', 'Message').objects.using(schema_editor.connection.alias)
    messages.filter(conversation__source='api', searchable=True).update(searchable=False)


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0018_imported_responses'),
    ]

    operations = [
        migrations.RunPython(leave_out_what_programs_wrote, migrations.RunPython.noop),
    ]
