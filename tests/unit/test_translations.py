"""The Japanese catalogs: whole, agreeing with their sources, and compiled."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polib
import pytest
from django.apps import apps
from django.test import Client

from streaming.pages.preferences import catalog_url
from tests.support.processes import ROOT

FOLDER = ROOT / "locale" / "ja" / "LC_MESSAGES"
DOMAINS = ["django", "djangojs"]
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]")
STRING = r'"((?:[^"\\]|\\.)*)"'
RERUN = "run the two commands of docs/development.md, and translate what is new"


def catalog(domain: str) -> polib.POFile:
    return polib.pofile(str(FOLDER / f"{domain}.po"))


def texts_of(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


@pytest.mark.parametrize("domain", DOMAINS)
def test_everything_is_translated(domain: str) -> None:
    entries = catalog(domain)
    assert [entry.msgid for entry in entries if entry.fuzzy] == []
    assert [entry.msgid for entry in entries if not all(texts_of(entry))] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_placeholders_agree(domain: str) -> None:
    for entry in catalog(domain):
        expected = sorted(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        for text in texts_of(entry):
            assert sorted(PLACEHOLDER.findall(text)) == expected, text


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_is_compiled_is_the_source(domain: str) -> None:
    compiled = polib.mofile(str(FOLDER / f"{domain}.mo"))
    assert _contents(compiled) == _contents(catalog(domain)), RERUN


def _contents(entries: polib.POFile | polib.MOFile) -> dict[str, list[str]]:
    return {entry.msgid: texts_of(entry) for entry in entries if not entry.obsolete}


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_catalog_has_what_the_code_says_and_nothing_else(domain: str) -> None:
    said = set(_in_scripts()) if domain == "djangojs" else {*_in_templates(), *_in_code()}
    known = {entry.msgid for entry in catalog(domain) if not entry.obsolete}
    assert said - known == set(), RERUN
    assert known - said == set(), RERUN


def _files(folder: str, suffix: str) -> Iterator[str]:
    paths = sorted((ROOT / folder).rglob(f"*.{suffix}"))
    assert paths
    for path in paths:
        yield path.read_text(encoding="utf-8")


def _in_scripts() -> Iterator[str]:
    for text in _files("static", "js"):
        yield from (_unescaped(found) for found in re.findall(rf"gettext\(\s*{STRING}", text))
        # What is no plain string would not be extracted; i18n.js hands on what it is given.
        calls = re.sub(r"function n?gettext|globalThis\.n?gettext\(\w", "", text)
        assert not re.search(r"gettext\(\s*[^\s\"]", calls)


def _in_templates() -> Iterator[str]:
    block = re.compile(r"{%\s*blocktranslate\b.*?%}(.*?){%\s*endblocktranslate\s*%}", re.DOTALL)
    for text in _files("templates", "html"):
        yield from re.findall(rf"{{%\s*translate\s+{STRING}", text)
        yield from re.findall(rf"_\({STRING}\)", text)
        for inside in block.findall(text):
            yield re.sub(r"{{\s*(\w+)\s*}}", r"%(\1)s", inside.strip())


def _in_code() -> Iterator[str]:
    names = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"}
    for text in _files("streaming", "py"):
        if "django.utils.translation" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                assert isinstance(node.args[0], ast.Constant), ast.unparse(node)
                yield str(node.args[0].value)


def _unescaped(text: str) -> str:
    return text.replace('\\"', '"')


def test_the_scripts_get_our_strings_only(client: Client) -> None:
    page = client.get("/jsi18n/ja/")
    assert page.headers["Content-Type"].startswith("text/javascript")
    assert "Cache-Control" not in page.headers  # this address stays when they change
    assert json.dumps("コピーしました。") in page.text
    assert "Available %s" not in page.text  # the admin's
    assert client.get("/jsi18n/xx/").status_code == 404


@pytest.mark.parametrize("folders", [[], ["of-the-project"]])
def test_an_installed_app_brings_its_own(
    folders: list[str], client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel has `locale/` inside the app, whatever folders the host project's settings name."""
    settings.LOCALE_PATHS = folders
    monkeypatch.setattr(apps.get_app_config("streaming"), "path", str(ROOT))
    page = client.get("/jsi18n/ja/")
    assert json.dumps("コピーしました。") in page.text
    assert "Available %s" not in page.text


def test_their_address_changes_with_them_and_is_kept_long(client: Client) -> None:
    assert catalog_url("ja") != catalog_url("en")
    page = client.get(catalog_url("ja"), headers={"Accept-Encoding": "gzip"})
    assert "immutable" in page.headers["Cache-Control"]
    assert page.headers["Content-Encoding"] == "gzip"
    assert len(page.content) < 12_000


def test_the_catalogs_are_small() -> None:
    """They count towards the weight of each page."""
    assert Path(FOLDER / "djangojs.mo").stat().st_size < 40_000
