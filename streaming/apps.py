"""The streaming app. `ready` only registers checks and a receiver: it also runs in `migrate` and in
the autoreload parent, where no worker may start."""

from django.apps import AppConfig
from django.core import checks
from django.core.signals import request_finished


class StreamingConfig(AppConfig):
    name = "streaming"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from streaming.conf import check_settings
        from streaming.database import close_connections
        from streaming.tracing import check_tracing

        checks.register(check_settings)
        checks.register(check_tracing)
        request_finished.connect(close_connections)
