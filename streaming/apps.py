"""The streaming app. `ready` only registers checks, lookups and receivers: it also runs in
`migrate` and in the autoreload parent, where no worker may start."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.signals import request_finished
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_delete

from streaming.system.moved import moved_paths

WITH_DOTTED_PATHS = (
    "MIDDLEWARE", "TEMPLATES", "CHANNEL_LAYERS", "STORAGES", "LOGGING", "ROOT_URLCONF",
    "AUTHENTICATION_BACKENDS", "PASSWORD_HASHERS",
)  # fmt: skip
"""The settings that name modules."""


class StreamingConfig(AppConfig):
    """ChatStream as an app of a Django project."""

    name = "streaming"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register signals and system checks."""
        from streaming.api import cors  # noqa: F401  # decides who is let in
        from streaming.conf import check_settings
        from streaming.identity.visitors import check_middleware
        from streaming.monitoring.tracing import check_tracing
        from streaming.record import any_case, file_collection, search_index
        from streaming.record.database import close_connections, note_file

        any_case.register()
        checks.register(check_settings)
        checks.register(check_moved)
        checks.register(check_tracing)
        checks.register(check_middleware)
        request_finished.connect(close_connections)
        connection_created.connect(note_file)
        post_migrate.connect(search_index.ensure, sender=self)
        file_collection.connect()
        pre_delete.connect(_before_account_goes, sender=settings.AUTH_USER_MODEL)


def check_moved(**kwargs: Any) -> list[checks.CheckMessage]:
    """System check `streaming.E006`: settings that name a module as it was called before."""
    return [
        checks.Error(f"{name} has {former!r}: it is {new!r} now.", id="streaming.E006")
        for name in WITH_DOTTED_PATHS
        for former, new in moved_paths(getattr(settings, name, None))
    ]


def _before_account_goes(instance: Any, **signal: Any) -> None:
    """Whoever deletes an account, and however: what it has open does not run on."""
    from streaming.lifecycle.forgetting import forget_in_transaction
    from streaming.models import Conversation

    forget_in_transaction(Conversation.objects.filter(user=instance))
