"""Addresses of Redis: every form, and what is wrong, without the password."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.waiting_list.redis.url import AddressError, address_of, parse


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://", {"host": "localhost", "port": 6379}),
        ("redis://host:1/3", {"host": "host", "port": 1, "db": 3}),
        ("redis://[::1]:1/", {"host": "::1", "port": 1}),
        ("redis://:p%40ss@host", {"host": "host", "port": 6379, "password": "p@ss"}),
        ("redis://me:pw@host", {"host": "host", "port": 6379, "username": "me", "password": "pw"}),
        ("redis://host?db=2", {"host": "host", "port": 6379, "db": 2}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("unix://me:pw@/run/x", {"path": "/run/x", "username": "me", "password": "pw"}),
    ],
)
def test_one_server(url: str, options: dict[str, Any]) -> None:
    address = parse(url)
    assert dict(address.options) == options
    assert not address.is_tls
    assert not address.sentinels


def test_tls() -> None:
    address = parse("rediss://host?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no")
    assert address.is_tls
    assert address.options["ssl_ca_certs"] == "/etc/ca.pem"
    assert address.options["ssl_check_hostname"] is False


def test_sentinels() -> None:
    address = parse("redis+sentinel://me:pw@a:1,[::1],c/mymaster/2?sentinel_password=other")
    assert address.sentinels == (("a", 1), ("::1", 26379), ("c", 26379))
    assert address.master == "mymaster"
    assert dict(address.options) == {"username": "me", "password": "pw", "db": 2}
    assert dict(address.sentinel_options) == {"password": "other"}
    assert address.where == "the master 'mymaster' of the Sentinels a:1, [::1]:26379, c:26379"
    assert set(address.secrets) == {"pw", "other"}


def test_sentinels_with_tls_speak_it_themselves() -> None:
    address = parse("rediss+sentinel://a/m?ssl_ca_certs=/ca.pem")
    assert dict(address.sentinel_options) == {"ssl_ca_certs": "/ca.pem", "ssl": True}
    assert address.is_tls


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:6379", "it is redis://"),
        ("http://:the-password@host", "it is redis://"),
        ("redis://:the-password@[::1", "it is redis://"),
        ("redis://:the-password@a:1,b:2", "it names 2 hosts"),
        ("redis://:the-password@host:0", "a port is 1 to 65535"),
        ("redis://:the-password@host:66000", "a port is 1 to 65535"),
        ("redis://:the-pass:word@ho st", "a host is HOST:PORT"),
        ("redis://:the-password#x@host", "it has a '#'"),
        ("redis://:the-password/x@host", "is written as %"),
        ("redis://:the-password@host/the-password", "the number of the database"),
        ("redis://:the-password@host/1/2", "the number of the database"),
        ("redis://the-password@host", "a user without a password"),
        ("redis://:the-password@host?ssl_ca_certs=/ca.pem", "is for rediss://"),
        ("redis://:the-password@host?master=the-password", "nothing else"),
        ("redis://:the-password@host?db=x", "its db has a wrong value"),
        ("rediss://:the-password@host?ssl_cert_reqs=x", "none, optional or required"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://:the-password@", "absolute path"),
        ("redis+sentinel://:the-password@a,b", "the name of the master"),
        ("redis+sentinel://:the-password@a,b/m/x", "the number of the database"),
        ("redis+sentinel://:the-password@a,b:x/m", "a host is HOST:PORT"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, why: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse(url)
    assert why in str(raised.value)
    assert "the-pass" not in str(raised.value)


def test_no_password_is_shown() -> None:
    address = parse("redis+sentinel://:the-password@a/m?sentinel_password=the-password-2")
    assert "the-password" not in repr(address) + address.where


@pytest.mark.parametrize(
    ("host", "where"),
    [
        (("a", 1), "a:1"),
        ({"host": "a", "port": 1}, "a:1"),
        ({"address": "rediss://a:1", "ssl_ca_certs": "/ca"}, "a:1"),
        ({"path": "/run/x"}, "/run/x"),
        (
            {"sentinels": [("a", 1)], "master_name": "m", "sentinel_kwargs": {"password": "x"}},
            "the master 'm' of the Sentinels a:1",
        ),
    ],
)
def test_the_forms_of_channels_redis(host: Any, where: str) -> None:
    assert address_of(host).where == where
