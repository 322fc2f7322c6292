"""Whether mail can be sent from here at all."""

from __future__ import annotations

from django.conf import settings

_SWITCHED_OFF = "django.core.mail.backends.dummy.EmailBackend"


def can_be_sent() -> bool:
    """Return whether the site has a way to send mail."""
    return bool(settings.EMAIL_BACKEND != _SWITCHED_OFF)
