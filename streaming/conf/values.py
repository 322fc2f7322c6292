"""Values of settings that are more than a number or a word: lists, networks, origins, URLs."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
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


MOST_FILE_CHARS = 100_000
MOST_TEXTS, MOST_TEXT_CHARS = 8, 300


def text_or_file(value: str) -> str:
    """Return a text without blanks around it; of `@path` the file's. Raises ValueError if the file
    cannot be read as UTF-8, is empty or has more than MOST_FILE_CHARS characters, or if there is a
    character U+0000."""
    text = value.strip()
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is no UTF-8 text") from None
        if not 0 < len(text) <= MOST_FILE_CHARS:
            raise ValueError(f"{path} has {len(text):,} characters, not 1 to {MOST_FILE_CHARS:,}")
    if "\x00" in text:
        raise ValueError("it has the character U+0000")
    return text


def texts(value: object) -> object:
    """Return the texts of a JSON list, or one for each line that is not blank. What is neither text
    nor list is returned as it is. Raises ValueError for a list of anything else, and for more or
    longer texts than MOST_TEXTS and MOST_TEXT_CHARS allow."""
    if isinstance(value, str):
        value = _listed(value) if value.lstrip().startswith("[") else value.splitlines()
    if not isinstance(value, list | tuple):
        return value
    if not all(isinstance(each, str) for each in value):
        raise ValueError("it is no list of texts")
    found = tuple(each.strip() for each in value if each.strip())
    if len(found) > MOST_TEXTS or any(len(each) > MOST_TEXT_CHARS for each in found):
        raise ValueError(f"it has more than {MOST_TEXTS} texts, or one of over {MOST_TEXT_CHARS}")
    return found


def _listed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("it begins like a JSON list, and is none") from None
