from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

AddColumn = import_module('streaming.migrations.0010_reasoning').AddColumn


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('streaming', '0010_reasoning'),
    ]

    operations = [
        migrations.CreateModel(
            name='AccountInstructions',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='instructions', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('text', models.TextField()),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'verbose_name_plural': 'account instructions',
            },
        ),
        AddColumn(
            model_name='conversation',
            name='instructions',
            field=models.TextField(blank=True, null=True),
        ),
        AddColumn(
            model_name='response',
            name='instructions',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
    ]
