"""How the site sends e-mail, as the environment says: EMAIL_URL and DEFAULT_FROM_EMAIL."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatsite.environment import env

_BACKENDS = "django.core.mail.backends"
_TIMEOUT = 10
"""Seconds that the mail server may take to answer."""

_NETWORK_SCHEMES = ("smtp", "smtps", "smtp+tls", "smtp+ssl")


def mail_settings(url: str, sender: str, *, debug: bool) -> dict[str, Any]:
    """Return Django's EMAIL_* settings. Without a URL mail goes to the console in debug mode, and
    is switched off otherwise.

    Raises ImproperlyConfigured, which does not repeat the URL: there may be a password in it.
    """
    found: dict[str, Any] = {"EMAIL_TIMEOUT": _TIMEOUT}
    if sender:
        found |= {"DEFAULT_FROM_EMAIL": sender, "SERVER_EMAIL": sender}
    if not url:
        backend = "console" if debug else "dummy"
        return {**found, "EMAIL_BACKEND": f"{_BACKENDS}.{backend}.EmailBackend"}
    try:
        config = env.email_url_config(url)
    except (ValueError, ImproperlyConfigured):
        config = {}
    scheme = url.partition("://")[0]
    if not config or (scheme in _NETWORK_SCHEMES and not config["EMAIL_HOST"]):
        raise ImproperlyConfigured(
            "EMAIL_URL is not allowed: it is smtp+tls://USER:PASSWORD@HOST:587 (STARTTLS), "
            "smtp+ssl://USER:PASSWORD@HOST:465, smtp://HOST:25 or consolemail://, "
            "with the special characters of a password as %XX."
        )
    if scheme in _NETWORK_SCHEMES and not sender:
        raise ImproperlyConfigured(
            "DEFAULT_FROM_EMAIL is required together with EMAIL_URL: the address from which mail "
            "is sent, such as ChatStream <chat@example.org>."
        )
    config.pop("OPTIONS", None)
    ports = {"smtp+ssl": 465, "smtp+tls": 587, "smtps": 587}
    config["EMAIL_PORT"] = config["EMAIL_PORT"] or ports.get(scheme, 25)
    return found | {name: "" if value is None else value for name, value in config.items()}
