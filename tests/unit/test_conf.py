"""Settings: what is wrong is named, with the value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from streaming import conf
from streaming.conf import ChatStreamSettings, from_environ


def test_the_environment_is_read_by_prefix() -> None:
    raw = from_environ({"CHATSTREAM_MAX_RUNNING": "3", "CHATSTREAM_MODEL": " ", "PATH": "/bin"})
    assert raw == {"max_running": "3"}
    assert ChatStreamSettings.model_validate(raw).max_running == 3


def test_defaults_are_valid() -> None:
    assert conf.faults({}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_running", "0"),
        ("max_running", "two"),
        ("max_waiting", "-1"),
        ("max_waiting", "1.5"),
        ("device", "gpu"),
        ("dtype", "int4"),
        ("disconnect_grace", "0"),
        ("lease_seconds", "nan"),
        ("trusted_proxies", "10.0.0.0/99"),
        ("anonymous", "perhaps"),
        ("prefix", "two words"),
        ("prefix", "a:b"),
        ("prefix", "a__group__b"),
        ("prefix", "all*"),
        ("prefix", "-a"),
        ("prefix", "ünï"),
        ("prefix", "a" * 41),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    (fault,) = conf.faults({name: value})
    assert f"CHATSTREAM_{name.upper()}={value!r}" in fault
    description = ChatStreamSettings.model_fields[name].description
    assert description
    assert description in fault


def test_instructions_are_a_text_or_a_file(tmp_path: Path) -> None:
    def of(value: str) -> str:
        return ChatStreamSettings.model_validate({"instructions": value}).instructions

    (file := tmp_path / "rules.md").write_text("\ufeffBe kind.\n\nBe brief.\n", encoding="utf-8")
    assert of(" Be brief.\n") == "Be brief."
    assert of(f"@{file}") == "Be kind.\n\nBe brief."
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes(b"\xe9t\xe9")
    (tmp_path / "nul").write_bytes(b"a\x00")
    (tmp_path / "long").write_text("x" * 100_001)
    for name, words in (
        ("missing", "cannot be read: No such file"),
        ("", "cannot be read: Is a directory"),
        ("empty", "has 0 characters"),
        ("latin", "is no UTF-8 text"),
        ("nul", "U+0000"),
        ("long", "has 100,001 characters"),
    ):
        (fault,) = conf.faults({"instructions": f"@{tmp_path / name}"})
        assert "CHATSTREAM_INSTRUCTIONS=" in fault
        assert words in fault
    assert len(conf.faults({"instructions": "x" * 100_001})) == 1


def test_starters_are_a_list_or_lines() -> None:
    def of(value: object) -> tuple[str, ...] | None:
        return ChatStreamSettings.model_validate({"starters": value}).starters

    assert conf.ChatStreamSettings().starters is None
    assert of('["One?", " Two\\nlines? "]') == ("One?", "Two\nlines?")
    assert of("One?\n\n  Two?\r\n") == of(["One?", "Two?"]) == ("One?", "Two?")
    assert of("[]") == ()
    for wrong in ("[1]", "[one", '["a"] b', "x\n" * 9, "x" * 301):
        assert "CHATSTREAM_STARTERS=" in conf.faults({"starters": wrong})[0]


def test_rows_hold_what_runs() -> None:
    (fault,) = conf.faults({"max_running": "4", "max_rows": "3"})
    assert "CHATSTREAM_MAX_ROWS='3'" in fault
    assert "less than CHATSTREAM_MAX_RUNNING=4" in fault
    assert conf.faults({"max_running": "4", "max_rows": "4"}) == []
    assert len(conf.faults({"max_running": "none", "max_rows": "3"})) == 1


def test_the_capacity_may_be_left_to_the_engine() -> None:
    assert ChatStreamSettings.model_validate({"max_running": "auto"}).max_running is None
    assert conf.faults({"max_running": "auto", "max_rows": "3"}) == []


def test_an_unknown_setting_is_named_with_what_there_is() -> None:
    (fault,) = conf.faults({"max_runing": "2"})
    assert "CHATSTREAM_MAX_RUNING" in fault
    assert "CHATSTREAM_MAX_RUNNING" in fault


def test_proxies_are_a_list_of_networks() -> None:
    settings = ChatStreamSettings.model_validate({"trusted_proxies": "10.0.0.1, fd00::/8"})
    assert settings.trusted_proxies == ("10.0.0.1", "fd00::/8")


def test_the_system_check_stops_a_start(settings: object) -> None:
    settings.CHATSTREAM = {"max_running": "0"}  # type: ignore[attr-defined]
    with pytest.raises(SystemCheckError, match="CHATSTREAM_MAX_RUNNING='0'"):
        call_command("check")


def test_a_secret_is_not_shown_even_if_it_is_wrong() -> None:
    (fault,) = conf.faults({"metrics_token": "too-short"})
    assert "CHATSTREAM_METRICS_TOKEN" in fault
    assert "too-short" not in fault


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("gpu.example.org:8000/v1", "no http or https URL"),
        ("ftp://host/v1", "no http or https URL"),
        ("http:///v1", "no http or https URL"),
        ("http://host:99999/v1", "Port out of range"),
        ("http://host/v1?key=1", "ends with a path"),
        ("http://host/v1#x", "ends with a path"),
    ],
)
def test_an_upstream_is_an_address(url: str, why: str) -> None:
    (fault,) = conf.faults({"upstream_url": url})
    assert f"CHATSTREAM_UPSTREAM_URL={url!r}" in fault
    assert why in fault


def test_an_upstream_beside_an_engine_of_ones_own() -> None:
    (fault,) = conf.faults({"engine": "a.B", "upstream_url": "http://host/v1"})
    assert "CHATSTREAM_ENGINE is set, too" in fault


def test_an_upstreams_credentials_are_not_shown() -> None:
    raw = {"upstream_url": "http://me:hunter22@host/v1", "upstream_key": "two words"}
    faults = " ".join(conf.faults(raw))
    assert "CHATSTREAM_UPSTREAM_KEY=(hidden)" in faults
    assert "a credential belongs into CHATSTREAM_UPSTREAM_KEY" in faults
    assert "hunter22" not in faults
    assert "two words" not in faults
    known = ChatStreamSettings.model_validate({"upstream_key": "sk-secret"})
    assert "sk-secret" not in repr(known)


def test_an_upstreams_address_ends_without_a_slash() -> None:
    settings = ChatStreamSettings.model_validate({"upstream_url": "https://host:8000/v1/"})
    assert settings.upstream_url == "https://host:8000/v1"
