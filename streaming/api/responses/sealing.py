"""What only this server can read and write, in the hands of a client: thoughts, and what stands for
older items. It is encrypted with the site's secret key, and opens for its owner alone.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings
from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

Kind = Literal["reasoning", "compaction"]

_SALT = "streaming.api.responses.sealing"
_SEALED = re.compile("[A-Za-z0-9_-]+={0,2}")
"""What the cipher writes. It reads past any other character, and whoever keeps the text keeps that,
too."""


class Unreadable(ValueError):
    """The text was not sealed here, for somebody else, or as something else."""


def seal(kind: Kind, owner: str, value: Any) -> str:
    """Return what `opened` returns `value` for, which is JSON."""
    text = json.dumps([kind, owner, value], ensure_ascii=False, separators=(",", ":"))
    return _cipher().encrypt(zlib.compress(text.encode())).decode()


def opened(kind: Kind, owner: str, sealed: str) -> Any:
    """Return what was sealed for this owner. Raises Unreadable."""
    from cryptography.fernet import InvalidToken

    try:
        if not _SEALED.fullmatch(sealed):
            raise InvalidToken
        text = zlib.decompress(_cipher().decrypt(sealed.encode()))
    except InvalidToken:
        raise Unreadable("It was not made by this server, or was changed.") from None
    what, whose, value = json.loads(text)
    if what != kind:
        raise Unreadable(f"It is no `{kind}`.")
    if whose != owner:
        raise Unreadable("It was made for somebody else.")
    return value


def _cipher() -> MultiFernet:
    return _cipher_of(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@cache
def _cipher_of(*secrets: str) -> MultiFernet:
    """Return the cipher of the site's keys, the first of which encrypts."""
    from cryptography.fernet import Fernet, MultiFernet  # not before it is needed

    keys = (salted_hmac(_SALT, "", secret=secret, algorithm="sha256") for secret in secrets)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key.digest())) for key in keys])
