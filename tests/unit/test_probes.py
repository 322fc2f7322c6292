"""Who may read the metrics."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.deployment.probes import is_ours, may_read

TOKEN = "a-token-of-24-characters"


@pytest.fixture
def configure(settings: Any) -> Any:
    def change(**values: Any) -> None:
        settings.CHATSTREAM = {**settings.CHATSTREAM, **values}

    return change


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may(peer: str) -> None:
    assert may_read(peer, "", "")


@pytest.mark.parametrize("peer", ["10.0.0.1", "::2", "2001:db8::1", "", "localhost"])
def test_nobody_else_may(peer: str) -> None:
    assert not may_read(peer, "", "")


def test_a_network_may_be_allowed_and_then_this_machine_is_not(configure: Any) -> None:
    configure(metrics_allow="10.0.0.0/8, 2001:db8::7")
    assert may_read("10.1.2.3", "", "")
    assert may_read("2001:db8::7", "", "")
    assert not may_read("2001:db8::8", "", "")
    assert not may_read("127.0.0.1", "", "")


def test_the_token_opens_from_anywhere(configure: Any) -> None:
    configure(metrics_token=TOKEN)
    assert may_read("192.0.2.1", "", f"Bearer {TOKEN}")
    assert may_read("192.0.2.1", "198.51.100.1", f"bearer {TOKEN}")
    for wrong in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "Bearer é"):
        assert not may_read("192.0.2.1", "", wrong)


def test_without_a_token_an_empty_one_opens_nothing() -> None:
    assert not may_read("192.0.2.1", "", "Bearer ")


def test_who_comes_through_a_proxy_on_this_machine_is_not_this_machine(configure: Any) -> None:
    assert not may_read("127.0.0.1", "192.0.2.1", "")
    assert not may_read("127.0.0.1", "127.0.0.1", "")  # a proxy nobody trusts may say anything
    configure(trusted_proxies="127.0.0.1", metrics_allow="10.0.0.0/8")
    assert may_read("127.0.0.1", "10.0.0.5", "")
    assert not may_read("127.0.0.1", "10.0.0.5, 192.0.2.1", "")


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "10.0.0.7:9100", "[::1]:8000",
     "[2001:db8::1]", "testserver", "TestServer.:80"],
)  # fmt: skip
def test_what_a_scraper_asks_for_is_ours(host: str) -> None:
    assert is_ours(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
     "evil@localhost", "localhost,evil.example", "", "[::1", "::1", "0x7f.1", "127.0.0.1:x"],
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_not(host: str) -> None:
    assert not is_ours(host)


def test_more_hosts_are_ours_where_they_are_allowed(settings: Any, configure: Any) -> None:
    settings.ALLOWED_HOSTS = ["web", ".example.org"]
    assert may_read("127.0.0.1", "", "", "web:8000")
    assert may_read("127.0.0.1", "", "", "a.example.org")
    assert not may_read("127.0.0.1", "", "", "testserver")
    configure(metrics_token=TOKEN)
    assert may_read("127.0.0.1", "", f"Bearer {TOKEN}", "anything.example")
