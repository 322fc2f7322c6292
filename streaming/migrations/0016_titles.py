import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('streaming', '0015_console'),
    ]

    operations = [
        migrations.AlterField(
            model_name='conversation',
            name='source',
            field=models.CharField(choices=[('chat', 'Chat'), ('api', 'Api'), ('name', 'Name')], default='chat', max_length=4),
        ),
        migrations.AddField(
            model_name='conversation',
            name='names',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='named_by', to='streaming.conversation'),
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.UniqueConstraint(condition=models.Q(('names__isnull', False)), fields=('names',), name='one_names_another'),
        ),
    ]
