"""The site's mail settings, from the environment."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatsite.mail import mail_settings

SENDER = "ChatStream <chat@here.example>"


@pytest.mark.parametrize(("debug", "backend"), [(True, "console"), (False, "dummy")])
def test_without_a_url(debug: bool, backend: str) -> None:
    found = mail_settings("", "", debug=debug)
    assert found["EMAIL_BACKEND"] == f"django.core.mail.backends.{backend}.EmailBackend"


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp://mail.example", 25, None, None),
        ("smtp+tls://me:p%40ss@mail.example", 587, True, None),
        ("smtp+tls://me:p%40ss@mail.example:2525", 2525, True, None),
        ("smtp+ssl://me:p%40ss@mail.example", 465, None, True),
    ],
)
def test_a_mail_server(url: str, port: int, tls: bool | None, ssl: bool | None) -> None:
    found = mail_settings(url, SENDER, debug=False)
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example", port)
    assert (found.get("EMAIL_USE_TLS"), found.get("EMAIL_USE_SSL")) == (tls, ssl)
    assert found["EMAIL_HOST_PASSWORD"] == ("p@ss" if "@" in url else "")
    assert found["DEFAULT_FROM_EMAIL"] == found["SERVER_EMAIL"] == SENDER
    assert found["EMAIL_TIMEOUT"] == 10
    assert all(name == "SERVER_EMAIL" or name.startswith(("EMAIL_", "DEFAULT_")) for name in found)


@pytest.mark.parametrize(
    "url", ["mail.example", "http://s3cret@mail.example", "smtp://", "smtp://me:s3cret@h:port"]
)
def test_what_is_no_mail_server(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL is not allowed") as refused:
        mail_settings(url, SENDER, debug=False)
    assert "s3cret" not in str(refused.value)


def test_a_mail_server_needs_a_sender() -> None:
    with pytest.raises(ImproperlyConfigured, match="DEFAULT_FROM_EMAIL is required"):
        mail_settings("smtp://mail.example", "", debug=False)
