"""The streaming app. `ready` only registers checks: it also runs in `migrate` and in the
autoreload parent, where no worker may start."""

from django.apps import AppConfig
from django.core import checks


class StreamingConfig(AppConfig):
    name = "streaming"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from streaming.conf import check_settings
        from streaming.tracing import check_tracing

        checks.register(check_settings)
        checks.register(check_tracing)
