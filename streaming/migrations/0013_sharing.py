from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models


AddColumn = import_module('streaming.migrations.0010_reasoning').AddColumn


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0012_keeping'),
    ]

    operations = [
        AddColumn(
            model_name='conversation',
            name='imported_from',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.CreateModel(
            name='Share',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.CharField(max_length=43, unique=True)),
                ('title', models.CharField(blank=True, max_length=120)),
                ('author', models.CharField(blank=True, max_length=150)),
                ('leaf', models.CharField(max_length=36)),
                ('turns', models.JSONField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('conversation', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='share', to='streaming.conversation')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
    ]
