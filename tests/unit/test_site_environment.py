"""The site's environment: what is not allowed is named, and no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatsite import environment
from chatsite.databases import database

FILE = Path("db.sqlite3")


@pytest.mark.parametrize(
    "url", ["postgre://me:hunter22@host/name", "//me:hunter22@host/name", "nothing"]
)
def test_what_is_no_database_is_refused_without_its_password(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL is not allowed") as refused:
        database(url, FILE)
    assert "hunter22" not in f"{refused.value}{capsys.readouterr()}"


def test_without_a_url_the_database_is_a_file() -> None:
    found = database("", FILE)
    assert (found["ENGINE"], found["NAME"]) == ("django.db.backends.sqlite3", FILE)
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_postgresql_has_a_pool() -> None:
    found = database("postgres://me:hunter22@host:1234/name", FILE)
    assert (found["NAME"], found["OPTIONS"]["pool"]["max_size"]) == ("name", 16)


def test_one_of_several_words_is_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "ERROR")) == "DEBUG"
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(ImproperlyConfigured, match="'loud' is not allowed: it is DEBUG or INFO"):
        environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO"))


@pytest.mark.parametrize(("value", "meaning"), [("", False), ("Yes", True), ("off", False)])
def test_a_flag_is_true_or_false(
    monkeypatch: pytest.MonkeyPatch, value: str, meaning: bool
) -> None:
    monkeypatch.setenv("HTTPS", value)
    assert environment.flag("HTTPS") is meaning
    monkeypatch.setenv("HTTPS", "perhaps")
    with pytest.raises(ImproperlyConfigured, match="HTTPS='perhaps' is not allowed"):
        environment.flag("HTTPS")
