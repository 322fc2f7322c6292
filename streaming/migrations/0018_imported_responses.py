from importlib import import_module

from django.db import migrations, models

AddColumn = import_module('streaming.migrations.0010_reasoning').AddColumn


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0017_in_session'),
    ]

    operations = [
        AddColumn(
            model_name='response',
            name='imported',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
