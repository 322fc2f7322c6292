"""Values of settings that are more than a number or a word: lists, networks, origins, URLs."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def comma_separated(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, without blanks and without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def network(text: str) -> str:
    """Return an IP address or network as it was given. Raises ValueError if it is none."""
    ipaddress.ip_network(text, strict=False)
    return text


def origin(text: str) -> str:
    """Return an origin as browsers write it, in lower case and without the scheme's own port; `*`
    as it is. Raises ValueError."""
    if text == "*":
        return text
    parts = urlsplit(text.lower().removesuffix("/"))
    is_origin = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not is_origin or parts.path or parts.query or parts.fragment or "*" in text:
        raise ValueError(f"{text!r} is no origin")
    own = {"http": 80, "https": 443}[parts.scheme]
    netloc = parts.netloc.removesuffix(f":{own}") if parts.port in (None, own) else parts.netloc
    return f"{parts.scheme}://{netloc}"


def base_url(text: str, *, key_setting: str) -> str:
    """Return a base URL without a slash at its end.

    Raises ValueError for anything else, and for a credential in it, which belongs into
    `key_setting`.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
        raise ValueError("it is no http or https URL")
    if "@" in parts.netloc:
        raise ValueError(f"a credential belongs into {key_setting}")
    if parts.query or parts.fragment or " " in text:
        raise ValueError("it ends with a path")
    if parts.port == 0:
        raise ValueError("port 0 is none")
    return text.rstrip("/")
