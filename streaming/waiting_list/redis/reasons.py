"""What an error of a Redis server means: whether it may pass, and if not, what to do about it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from streaming.waiting_list.redis.address import RedisAddress

CLUSTER: Final = (
    "it is a Redis Cluster, and the waiting list is changed by scripts that must see all of it: "
    "use one server, or a master with Sentinels"
)
REPLICA: Final = "it is a replica, which can only be read: give the address of its master"

_OF_CLUSTERS = (ClusterDownError, ClusterCrossSlotError, AskError)  # MovedError is an AskError
_PASSING = (BusyLoadingError, MasterDownError, OutOfMemoryError)
_PASSING_WORDS = ("NOREPLICAS", "MISCONF", "BUSY", "max number of clients")
_ONLY_TLS = "it speaks TLS only: its address is rediss://"
_NO_TLS = "it does not speak TLS: its address is redis://"
_PROBE_SECONDS = 3.0


class RedisRefused(Exception):
    """The server cannot be used until somebody changes something; the text says what."""


class RedisAway(Exception):
    """The server cannot be used now, but perhaps later."""


def refusal(address: RedisAddress, reason: str) -> RedisRefused:
    """Return the error for a server that cannot be used, with the reason."""
    return RedisRefused(f"The Redis of REDIS_URL ({address.where}) cannot be used: {reason}.")


@contextlib.contextmanager
def explained(address: RedisAddress) -> Iterator[None]:
    """Raise RedisRefused or RedisAway for an error of redis-py within the block."""
    try:
        yield
    except (RedisError, OSError) as error:
        reason = reason_of(address, error)
        if reason is None:
            raise RedisAway(f"{address.where} does not answer: {error}") from None
        raise refusal(address, reason) from None


def reason_of(address: RedisAddress, error: Exception) -> str | None:
    """Return why a server cannot be used, and what to do; None if the error may pass by itself."""
    text = str(error)
    if certificate := _in_chain(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({certificate.verify_message}): name the file of the "
            "authority that signed it with ?ssl_ca_certs="
        )
    if address.is_tls and _answers_plainly(address):
        return _NO_TLS
    if broken := _in_chain(error, ssl.SSLError):
        return f"TLS does not work with it ({broken.reason or broken})"
    if isinstance(error, _PASSING) or any(word in text for word in _PASSING_WORDS):
        return None
    if isinstance(error, AuthenticationError) or "WRONGPASS" in text:
        if "without any password" in text or "no password is set" in text:
            return "the address has a password, but the server wants none"
        has_password = "password" in address.options
        return (
            "it does not accept the user and password of the address"
            if has_password
            else "it wants a password, and the address has none"
        )
    if "protected mode" in text:
        return "it is in protected mode: give it a password, and the address, too"
    if isinstance(error, ReadOnlyError):
        return REPLICA
    if isinstance(error, NoPermissionError):
        return f"its user may not do what is needed ({text})"
    if isinstance(error, _OF_CLUSTERS):
        return CLUSTER
    if isinstance(error, InvalidResponse):
        return "what answers there is no Redis" if not _speaks_tls(address) else _ONLY_TLS
    if isinstance(error, ResponseError):
        return f"it says: {text}"
    if _in_chain(error, ConnectionResetError) or "closed by server" in text:
        return _ONLY_TLS if _speaks_tls(address) else None
    if isinstance(error, PermissionError) or _in_chain(error, PermissionError):
        return f"this user of the system may not open it ({text})"
    return None


def _in_chain(error: BaseException | None, kind: type[BaseException]) -> Any:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _answers_plainly(address: RedisAddress) -> bool:
    if address.sentinels:
        return False
    try:
        with socket.create_connection((address.host, address.port), _PROBE_SECONDS) as line:
            line.sendall(b"PING\r\n")
            return line.recv(1) in (b"+", b"-")  # PONG, or an error: it wants a password
    except OSError:
        return False


def _speaks_tls(address: RedisAddress) -> bool:
    if address.is_tls or "path" in address.options or address.sentinels:
        return False
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), _PROBE_SECONDS) as line,
            context.wrap_socket(line, server_hostname=address.host),
        ):
            return True
    except OSError:
        return False
