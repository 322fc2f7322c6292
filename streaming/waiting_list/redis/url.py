"""Parses and checks the address of Redis in a setting: a URL, or a host in another of
channels_redis's forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.connection import URL_QUERY_ARGUMENT_PARSERS

from streaming.waiting_list.redis.address import RedisAddress

FORMS: Final = (
    "redis://:PASSWORD@HOST:PORT/NUMBER, rediss:// for TLS, unix:// and an absolute path, or "
    "redis+sentinel://:PASSWORD@HOST:PORT,HOST:PORT/MASTER/NUMBER"
)

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_PORT, _SENTINEL_PORT = 6379, 26379
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@\[\]]*)(?::([0-9]{1,5}))?")
_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
_OPTIONS = (
    "db",
    "client_name",
    "health_check_interval",
    "protocol",
    "socket_connect_timeout",
    "socket_timeout",
)
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")


_ESCAPES: Final = (
    "in a password, each of : / ? # @ % is written as % and two digits, %3A %2F %3F %23 %40 %25"
)
_PARSERS: Mapping[str, Callable[[str], Any]] = URL_QUERY_ARGUMENT_PARSERS  # type: ignore[assignment]


class AddressError(ValueError):
    """An address is wrong. The text does not contain it, since it may have a password."""


def address_of(host: Any) -> RedisAddress:
    """Return the address of a channel layer's host. Raises AddressError.

    As in channels_redis, a host is a URL, a pair of host and port, or a dict of connection options.
    """
    if isinstance(host, str):
        return parse(host)
    if isinstance(host, tuple | list):
        return RedisAddress({"host": host[0], "port": host[1]})
    options = dict(host)
    if url := options.pop("address", ""):
        found = parse(url)
        return RedisAddress(
            {**found.options, **options},
            found.is_tls,
            found.sentinels,
            found.master,
            found.sentinel_options,
        )
    sentinels = tuple((str(name), int(port)) for name, port in options.pop("sentinels", ()))
    master = options.pop("master_name", "")
    if bool(sentinels) != bool(master):
        raise AddressError("a `master_name` needs `sentinels`, and they need it")
    sentinel_options = options.pop("sentinel_kwargs", None) or {}
    is_tls = bool(options.pop("ssl", False))
    return RedisAddress(options, is_tls, sentinels, master, sentinel_options)


def parse(url: str) -> RedisAddress:
    """Return the address in a URL of one of the FORMS. Raises AddressError."""
    try:
        parts = urlsplit(url)
    except ValueError:  # an IPv6 address without its end
        raise AddressError(f"it is {FORMS}") from None
    if parts.scheme not in _SCHEMES:
        raise AddressError(f"it is {FORMS}")
    if parts.fragment:
        raise AddressError(f"it has a '#'; {_ESCAPES}")
    is_tls = parts.scheme.startswith("rediss")
    is_sentinel = parts.scheme.endswith("+sentinel")
    login, _, hosts = parts.netloc.rpartition("@")
    options = _login(login)
    more = _query(parts.query, is_tls=is_tls, is_sentinel=is_sentinel)
    if parts.scheme == "unix":
        if hosts or not parts.path.strip("/"):
            raise AddressError("unix:// is followed by an absolute path, as in unix:///run/redis")
        return RedisAddress({"path": unquote(parts.path), **options, **more})
    found = [_place(host, _SENTINEL_PORT if is_sentinel else _PORT) for host in hosts.split(",")]
    segments = [unquote(segment) for segment in parts.path.split("/")[1:]]
    if is_sentinel:
        master = segments.pop(0) if segments else ""
        if not master:
            raise AddressError("behind its hosts stands the name of the master, as in /mymaster/0")
        options |= _number(segments)
        logins = {
            name.removeprefix("sentinel_"): more.pop(name)
            for name in _SENTINEL_OPTIONS
            if name in more
        }
        tls = {name: value for name, value in more.items() if name in _TLS_OPTIONS}
        if is_tls:
            tls["ssl"] = True
        return RedisAddress({**options, **more}, is_tls, tuple(found), master, {**logins, **tls})
    if len(found) > 1:
        raise AddressError(
            f"it names {len(found)} hosts, and the waiting list is kept by one server. A master "
            "that Sentinels watch is redis+sentinel://:PASSWORD@HOST:PORT,HOST:PORT/MASTER/NUMBER"
        )
    options |= _number(segments)
    return RedisAddress({"host": found[0][0], "port": found[0][1], **options, **more}, is_tls)


def _login(login: str) -> dict[str, Any]:
    name, _, password = login.partition(":")
    if name and not password:
        raise AddressError("it has a user without a password; a password alone is :PASSWORD@")
    found = {"username": unquote(name), "password": unquote(password)}
    return {key: value for key, value in found.items() if value}


def _place(text: str, port: int) -> tuple[str, int]:
    found = _PLACE.fullmatch(text)
    if not found or not 0 < (number := int(found[2] or port)) < 65536:
        raise AddressError(f"a host is HOST:PORT, and a port is 1 to 65535; {_ESCAPES}")
    return unquote(found[1].strip("[]")) or "localhost", number


def _number(segments: list[str]) -> dict[str, Any]:
    if not segments or segments == [""]:
        return {}
    if len(segments) > 1 or not re.fullmatch("[0-9]{1,6}", segments[0]):
        raise AddressError(f"the number of the database, as in /0, is its end; {_ESCAPES}")
    return {"db": int(segments[0])}


def _query(query: str, *, is_tls: bool, is_sentinel: bool) -> dict[str, Any]:
    known = _OPTIONS + _TLS_OPTIONS * is_tls + _SENTINEL_OPTIONS * is_sentinel
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _TLS_OPTIONS and not is_tls:
            raise AddressError(f"{name} is for rediss://, with TLS")
        if name not in known:
            raise AddressError(f"behind its '?' stand {', '.join(known)}, and nothing else")
        try:
            found[name] = _PARSERS.get(name, str)(value)
        except (TypeError, ValueError):
            raise AddressError(f"its {name} has a wrong value") from None
    if found.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise AddressError("its ssl_cert_reqs is none, optional or required")
    return found
