from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class AddColumn(migrations.AddField):
    """Django copies the whole table for a column that is not null in SQLite, which can add one
    with a constant default in its place, as PostgreSQL does."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != 'sqlite':
            return super().database_forwards(app_label, schema_editor, from_state, to_state)
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            field = model._meta.get_field(self.name)
            BaseDatabaseSchemaEditor.add_field(schema_editor, model, field)


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0009_passed'),
    ]

    operations = [
        AddColumn(
            model_name='message',
            name='reasoning',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        AddColumn(
            model_name='response',
            name='reasoning',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        AddColumn(
            model_name='response',
            name='reasoning_tokens',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        AddColumn(
            model_name='response',
            name='reasoning_ms',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
    ]
