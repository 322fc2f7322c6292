"""What lets the page be installed: manifest, icons, offline page, service worker."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

pytestmark = pytest.mark.django_db


def source_of(url: str) -> str:
    """The file behind a static address, which has the hash of what is collected, if it is."""
    path = finders.find(re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", url.removeprefix("/static/")))
    assert isinstance(path, str), url
    return path


@pytest.mark.parametrize(("language", "word"), [("en", "queue"), ("ja", "順番")])
def test_the_manifest_is_in_the_pages_language(language: str, word: str) -> None:
    page = Client().get("/", headers={"Accept-Language": language}).text
    found = re.search(r'rel="manifest" href="([^"]+)"', page)
    assert found
    answer = Client().get(found[1])
    assert answer.headers["Content-Type"] == "application/manifest+json"
    body = json.loads(answer.content)
    assert (body["lang"], body["start_url"], body["scope"]) == (language, "/", "/")
    assert body["display"] == "standalone"
    assert word in body["description"]
    assert {icon["purpose"] for icon in body["icons"]} == {"any", "maskable"}
    for icon in body["icons"]:
        path = source_of(icon["src"])
        if icon["type"] == "image/png":
            with open(path, "rb") as file:
                width, height = struct.unpack(">II", file.read(24)[16:])
            assert icon["sizes"] == f"{width}x{height}"


@pytest.mark.parametrize("path", ["/manifest/xx.webmanifest", "/offline/xx/"])
def test_there_are_no_other_languages(path: str) -> None:
    assert Client().get(path).status_code == 404
    assert Client().get("/service-worker.js?language=xx").status_code == 404


def test_the_worker_keeps_the_offline_page_alone() -> None:
    answer = Client().get("/service-worker.js?language=ja")
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Service-Worker-Allowed"] == "/"
    assert "no-cache" in answer.headers["Cache-Control"]
    kept = re.search(r"KEPT = (.*);", answer.text)
    assert kept
    page, *styles = json.loads(kept[1])
    offline = Client().get(page)
    assert "オフライン" in offline.text
    assert "sessionid" not in offline.cookies
    assert re.findall(r'href="([^"]+)"', offline.text) == styles
    for style in styles:
        assert source_of(style.removesuffix("?offline"))


def test_another_page_is_another_version() -> None:
    names = {
        re.search(r"offline-\w+", Client().get(f"/service-worker.js?language={each}").text)
        for each in ("en", "ja")
    }
    assert len({found and found[0] for found in names}) == 2


def test_switched_off_it_leaves(chatstream: Any) -> None:
    assert 'data-worker="/service-worker.js?language=en"' in Client().get("/").text
    chatstream(offline_page=False)
    assert "data-worker" not in Client().get("/").text
    text = Client().get("/service-worker.js?language=en").text
    assert "unregister()" in text
    assert "fetch" not in text


def test_who_must_sign_in_can_install_it(chatstream: Any) -> None:
    chatstream(anonymous=False)
    for path in ("/manifest/en.webmanifest", "/offline/en/", "/service-worker.js"):
        assert Client().get(path).status_code == 200


def test_the_policy_allows_it() -> None:
    policy = Client().get("/").headers["Content-Security-Policy"]
    assert "worker-src 'self'" in policy
    assert "manifest-src 'self'" in policy
