"""Every page of ours outside the console, on every screen, for every reader.

The console's pages are in `test_console.py` and `test_console_pages.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import URLPattern, URLResolver, get_resolver
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import ask, expect_status
from tests.e2e.visitors import Visitors, new_name, serving_fast, sign_up, visiting
from tests.support.processes import ServeProcess

RICH = (
    r"say ## Title\n\nSome `code` in *text*, \(x^2\).".replace(r"\n", "\n")
    + "\n\n```python\nx = 1\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |"
)

SIGNED_OUT = {
    "chat": "/",
    "login": "/accounts/login/",
    "signup": "/accounts/signup/",
    "password_reset": "/accounts/password/forgotten/",
    "password_reset_done": "/accounts/password/forgotten/mailed/",
    "password_reset_confirm": "/accounts/password/new/MQ/a-b/",
    "email_confirm": "/accounts/email/confirm/x/",
    "offline": "/offline/en/",
}
SIGNED_IN = {
    "account": "/accounts/",
    "password_change": "/accounts/password/",
    "email": "/accounts/email/",
    "delete_all": "/accounts/conversations/delete/",
    "delete_account": "/accounts/delete/",
    "import": "/import/",
}
OF_A_CONVERSATION = {
    "conversation": "/c/{id}/",
    "print_conversation": "/c/{id}/print/",
}

PARTS_AND_ORDERS = {
    *("logout", "preferences", "jsi18n", "newest", "rate", "drawer", "conversations"),
    *("instructions", "conversation_instructions", "account_instructions"),
    *("create_key", "revoke_key", "end_session", "end_other_sessions", "download_account"),
    *("rename_conversation", "keep_conversation", "conversation_states", "delete_conversation"),
    *("export_conversation", "sharing", "share_conversation", "withdraw_share", "withdraw_link"),
    *("manifest", "service_worker", "files", "file", "remove_file"),
    "shared",  # test_sharing_page.py
}
"""Addresses of no page: fragments, files, and what is only posted to."""

OF_PROGRAMS = ("admin", "api")
"""Namespaces without pages for everybody: the console has tests of its own, `/v1/` is JSON."""

SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone, dark, Japanese": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "locale": "ja-JP",
    },
    # As Chromium lays out 1280 pixels at 200 %.
    "200 %, forced colours, no motion": {
        "viewport": {"width": 640, "height": 400},
        "device_scale_factor": 2,
        "forced_colors": "active",
        "reduced_motion": "reduce",
    },
}


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for each in patterns:
        if isinstance(each, URLPattern):
            if each.name:
                yield each.name
        elif each.namespace not in OF_PROGRAMS:
            yield from names(each.url_patterns)


def test_no_page_is_missing_here() -> None:
    known = {*SIGNED_OUT, *SIGNED_IN, *OF_A_CONVERSATION, *PARTS_AND_ORDERS}
    assert set(names(get_resolver().url_patterns)) - known == set()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def visitors(browser: Browser, site: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, site)


@pytest.mark.parametrize("screen", SCREENS)
def test_everybody_can_use_every_page(visitors: Visitors, site: ServeProcess, screen: str) -> None:
    page = visitors.open(**SCREENS[screen])
    found: list[str] = []
    for name, path in SIGNED_OUT.items():
        page.goto(site.url + path)
        found += faults(page, name)
    # Of the link that confirms nothing, which is a page with a sentence.
    visitors.complaints = [each for each in visitors.complaints if "404" not in each]
    # English labels are needed to sign up; the language is the browser's again afterwards.
    english = visitors.open(locale="en-GB")
    sign_up(english, site, new_name())
    page.context.add_cookies(english.context.cookies())
    page.goto(site.url + "/")
    expect_status(ask(page, RICH), "completed")
    page.wait_for_url("**/c/*/")
    own = {
        name: path.format(id=page.url.split("/")[-2]) for name, path in OF_A_CONVERSATION.items()
    }
    for name, path in {**SIGNED_IN, **own}.items():
        page.goto(site.url + path)
        found += faults(page, name)
    assert found == []


def faults(page: Page, where: str) -> list[str]:
    """What axe finds serious, what is wider than the screen from left to right or from right to
    left, and controls in the keyboard's reach that cannot be seen."""
    expect(page.locator("body")).to_be_visible()
    options: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
    if page.evaluate("matchMedia('(forced-colors: active)').matches"):
        options["rules"] = {"color-contrast": {"enabled": False}}  # the colours are the reader's
    report = Axe().run(page, options=options)
    found = [
        f"{where}: {rule['id']}: {[node['html'][:120] for node in rule['nodes']]}"
        for rule in report.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    for direction in ("ltr", "rtl"):
        page.evaluate("dir => { document.documentElement.dir = dir; }", direction)
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            found.append(f"{where}, {direction}: {over} px too wide")
    page.evaluate("document.documentElement.removeAttribute('dir')")
    return found + [f"{where}: unseen {html}" for html in page.evaluate(LOST_FOCUS)]


LOST_FOCUS = """
() => {
  const lost = [];
  const all = document.querySelectorAll("a[href], button, input, select, textarea, summary");
  for (const element of all) {
    if (element.disabled || element.type === "hidden") continue;
    if (!element.checkVisibility({ visibilityProperty: true }) || element.tabIndex < 0) continue;
    element.focus();
    if (document.activeElement !== element) continue;  // behind a closed drawer
    const { width, height } = element.getBoundingClientRect();
    if (width < 1 || height < 1) lost.push(element.outerHTML.slice(0, 120));
  }
  document.activeElement?.blur();
  return lost;
}
"""
