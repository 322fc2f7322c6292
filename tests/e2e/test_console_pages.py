"""The console in a real Chromium: its name and navigation, transcripts, a response's actions,
usage, limits over a restart, what all users are told, alerts; axe, a phone, dark."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.operators import PATIENCE, QUEUE, Crowd
from tests.e2e.visitors import (
    PASSWORD,
    Visitors,
    new_name,
    serve_fast,
    serving_fast,
    visiting,
)
from tests.support.processes import ServeProcess

ADMIN = "/admin/streaming/response/"
PAGES = {
    "conversation": "/admin/streaming/conversation/{conversation}/change/",
    "failed": ADMIN + "{failed}/change/",
    "history": ADMIN,
    "usage": ADMIN + "usage/",
    "limits": ADMIN + "limits/",
    "alerts": ADMIN + "alerts/",
    "home": "/admin/",
    "users": "/admin/auth/user/",
}

RECORD = """
import json
from datetime import timedelta
from django.utils import timezone
from streaming.models import Conversation, Message, Response
chat = Conversation.objects.create(owner="visitor:somebody", title="On the sea")
at, rows = timezone.now() - timedelta(minutes=30), []
for number, (status, text) in enumerate(
    [("completed", "It is **wide**.\\n\\n```python\\nprint(1)\\n```"), ("completed", "And deep."),
     ("failed", "")], 1):
    said = f"Tell me of the <b>sea</b>, {number}." + " More of it." * 40
    prompt = Message.objects.create(conversation=chat, role="user", content=said)
    again = number == 2
    row = Response.objects.create(
        conversation=chat, prompt=rows[0].prompt if again else prompt, owner=chat.owner,
        status=status, text=text, error_code="" if text else "engine_error", attempt=1,
        ordinal=number, prompt_tokens=9, completion_tokens=40, params={"max_tokens": 5, "stop": []},
        previous=rows[-1] if number == 3 else None,
    )
    Response.objects.filter(pk=row.pk).update(
        created_at=at, started_at=at + timedelta(seconds=75),
        first_token_at=at + timedelta(seconds=76), finished_at=at + timedelta(seconds=90),
    )
    rows.append(row)
print("IDS", json.dumps({"conversation": str(chat.pk), "failed": str(rows[-1].pk)}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(
        tmp_path_factory.mktemp("pages"),
        CHATSTREAM_MAX_TOKENS="4000",
        CHATSTREAM_DISCONNECT_GRACE="2",  # who has left makes room for the next test
        FAKE_STEP_SECONDS="0.2",
    )


@pytest.fixture(scope="module")
def ids(site: ServeProcess) -> dict[str, str]:
    printed = site.manage("shell", "-c", RECORD)
    found: dict[str, str] = json.loads(printed.split("IDS", 1)[1])
    return found


@pytest.fixture(scope="module")
def superuser(site: ServeProcess) -> str:
    name = new_name()
    args = ["createsuperuser", "--noinput", "--username", name, "--email", "boss@example.com"]
    site.manage(*args, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    return name


@pytest.fixture
def crowd(site: ServeProcess) -> Iterator[Crowd]:
    crowd = Crowd(site)
    yield crowd
    crowd.leave()


@pytest.fixture
def visitors(browser: Browser, site: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, site)


def sign_in(visitors: Visitors, name: str, path: str, **options: Any) -> Page:
    page = visitors.open(f"/admin/login/?next={path}", **options)
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("input[type=submit]").click()
    page.wait_for_url(re.compile(re.escape(path) + "$"))
    return page


def test_its_name_and_navigation(visitors: Visitors, superuser: str, site: ServeProcess) -> None:
    page = sign_in(visitors, superuser, QUEUE, viewport={"width": 1440, "height": 900})
    expect(page).to_have_title("Live queue · ChatStream console")
    expect(page.locator("#site-name")).to_have_text("ChatStream console")
    links = page.get_by_role("navigation", name="Console").get_by_role("link")
    assert links.all_inner_texts() == [
        "Live queue", "Conversations", "History", "Usage", "Keys", "Users", "Alerts", "Limits",
        "More",
    ]  # fmt: skip
    for name in links.all_inner_texts()[1:-1]:
        page.get_by_role("navigation", name="Console").get_by_role("link", name=name).click()
        here = page.locator(".console-nav [aria-current=page]")
        expect(here).to_have_text(name)
        assert here.evaluate("e => getComputedStyle(e).borderBottomColor") != "rgba(0, 0, 0, 0)"
    nav, last = page.locator(".console-nav").bounding_box(), links.last.bounding_box()
    assert nav
    assert last
    assert last["x"] + last["width"] <= nav["x"] + nav["width"] + 10  # all of it is seen
    assert "Django" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_on_a_phone_and_for_axe(
    visitors: Visitors, superuser: str, site: ServeProcess, ids: dict[str, str], scheme: str
) -> None:
    width = {"light": 1440, "dark": 390}[scheme]
    page = sign_in(
        visitors, superuser, "/admin/", viewport={"width": width, "height": 844},
        color_scheme=scheme,
    )  # fmt: skip
    for name, path in PAGES.items():
        page.goto(site.url + path.format(**ids))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        options = {"preload": False, "resultTypes": ["violations"]}
        found = Axe().run(page, options=options).response["violations"]
        serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
        assert serious == [], (name, [each["nodes"][0]["html"] for each in found])
        red = "(name) => Number(getComputedStyle(document.body)[name].match(/\\d+/)[0])"
        ink, ground = (page.evaluate(red, name) for name in ("color", "backgroundColor"))
        assert (ink > ground) is (scheme == "dark"), (ink, ground)


def test_a_transcript_shows_all_branches(
    visitors: Visitors, superuser: str, ids: dict[str, str]
) -> None:
    page = sign_in(visitors, superuser, PAGES["conversation"].format(**ids))
    said = page.locator(".cs-said")
    expect(said).to_have_count(3)
    expect(said.nth(0).locator(".text strong")).to_have_text("wide")
    expect(said.nth(0).locator(".cs-prompt")).to_contain_text("Tell me of the <b>sea</b>, 1.")
    expect(said.nth(1)).to_contain_text("Another answer to the same prompt")
    expect(said.nth(2)).to_contain_text("No answer.")
    expect(said.nth(0)).to_contain_text("1 min 15 s")
    said.nth(2).get_by_role("link", name="Response 3").click()
    expect(page).to_have_url(re.compile(f"{ids['failed']}/change/$"))


def test_a_response_is_moved_cancelled_and_tried_again(
    visitors: Visitors, superuser: str, site: ServeProcess, crowd: Crowd, ids: dict[str, str]
) -> None:
    crowd.fill()
    crowd.ask()
    last = crowd.ask()
    page = sign_in(visitors, superuser, f"{ADMIN}{last.id}/change/")
    expect(page.locator(".cs-standing")).to_contain_text("It waits at position 2 of 2.")
    page.get_by_role("button", name="To the front").click()
    expect(page.locator(".cs-standing")).to_contain_text("It waits at position 1 of 2.")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.locator(".messagelist")).to_contain_text("is cancelled.")
    expect(page.locator(".cs-standing")).to_have_count(0)
    page.goto(site.url + PAGES["failed"].format(**ids))
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".messagelist")).to_contain_text("The failed one stays.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".messagelist")).to_contain_text("it is tried again already")
    page.goto(site.url + PAGES["conversation"].format(**ids))
    expect(page.locator(".cs-said")).to_have_count(4)
    expect(page.locator(".cs-said").nth(3)).to_contain_text("Another answer to the same prompt")
    page.goto(f"{site.url}{ADMIN}usage/")
    expect(page.locator(".cs-usage tbody tr").first.get_by_role("link")).to_have_attribute(
        "title", "visitor:somebody"
    )


class Hook(BaseHTTPRequestHandler):
    """Takes web hooks."""

    got: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def test_operators_are_told_by_a_web_hook(visitors: Visitors, superuser: str, crowd: Crowd) -> None:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = sign_in(visitors, superuser, PAGES["alerts"])
    Hook.got.clear()
    address = f"http://127.0.0.1:{server.server_port}/hook"
    page.get_by_label("Address").fill(address)
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".messagelist")).to_contain_text("shown this once")
    told = page.locator("tr", has=page.get_by_text(address, exact=True)).first
    told.get_by_role("button", name="Send a test").click()
    expect(page.locator(".messagelist")).to_contain_text("The test has arrived.")
    crowd.fill()
    crowd.ask()
    rule = page.locator("tr", has=page.locator("#rule-wait"))
    rule.locator("#rule-wait").fill("1")
    rule.get_by_label("On", exact=True).check()
    rule.get_by_role("button", name="Set").click()
    expect(page.locator(".messagelist")).to_contain_text("The rule is on.")

    def states() -> list[str]:
        return [body["state"] for body in Hook.got]

    def wait_for(state: str) -> None:
        for _ in range(PATIENCE // 100):
            if state in states():
                return
            page.wait_for_timeout(100)
        raise AssertionError(states())

    wait_for("firing")
    crowd.leave()
    rule.get_by_label("On", exact=True).uncheck()  # else it fires for a minute
    rule.get_by_role("button", name="Set").click()
    wait_for("resolved")
    assert states() == ["test", "firing", "resolved"]
    page.reload()
    sent = page.locator("tr", has=page.get_by_text(address, exact=True))
    expect(sent.filter(has_text="arrived")).to_have_count(3)
    server.shutdown()
    server.server_close()


def test_all_users_are_told_until_it_is_taken_down(
    visitors: Visitors, superuser: str, site: ServeProcess
) -> None:
    reader = visitors.open("/", viewport={"width": 390, "height": 844})
    told = reader.locator(".announcement")
    page = sign_in(visitors, superuser, PAGES["limits"])
    page.get_by_label("Message").fill("We move house <b>at noon</b>.")
    page.get_by_label("Level").select_option("warning")
    page.get_by_role("button", name="Tell all users").click()
    expect(told).to_contain_text("Warning: We move house <b>at noon</b>.")
    told.get_by_role("button", name="Close").click()
    expect(told).to_have_count(0)
    reader.reload()
    expect(reader.locator("#connection")).to_have_attribute("data-state", "open")
    expect(told).to_have_count(0)  # in this browser it was read
    other = visitors.open("/")
    expect(other.locator(".announcement")).to_be_visible()
    page.get_by_role("button", name="Take down").click()
    expect(page.get_by_text("Users are told nothing now.")).to_be_visible()
    expect(other.locator(".announcement")).to_have_count(0)


def test_a_planned_one_begins_and_ends_by_itself(
    visitors: Visitors, superuser: str, site: ServeProcess
) -> None:
    reader = visitors.open("/")
    code = (
        "from datetime import timedelta; from django.utils import timezone; "
        "from streaming.models import Announcement; now = timezone.now(); "
        "Announcement.objects.create(text='Soon.', level='info', written_by='boss', "
        "starts_at=now + timedelta(seconds=1), ends_at=now + timedelta(seconds=6))"
    )
    site.manage("shell", "-c", code)
    expect(reader.locator(".announcement")).to_contain_text("Soon.")
    expect(reader.locator(".announcement")).to_have_count(0)


def test_a_limit_is_kept_over_a_restart(browser: Browser, tmp_path: Path) -> None:
    name = new_name()
    server = serve_fast(tmp_path)
    try:
        args = ["createsuperuser", "--noinput", "--username", name, "--email", "boss@example.com"]
        server.manage(*args, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        for page in limits_page(browser, name, server):
            row = page.locator("tr", has=page.locator("#limit-max_waiting"))
            row.locator("#limit-max_waiting").fill("1")
            row.get_by_role("button", name="Set").click()
            expect(page.locator(".messagelist")).to_contain_text("is 1 now.")
    finally:
        server.stop()
    server = serve_fast(tmp_path)
    try:
        for page in limits_page(browser, name, server):
            row = page.locator("tr", has=page.locator("#limit-max_waiting"))
            expect(row.locator("#limit-max_waiting")).to_have_value("1")
            expect(row).to_contain_text("100 CHATSTREAM_MAX_WAITING")
            expect(row).to_contain_text(name)
            row.get_by_role("button", name="Reset").click()
            expect(row.locator("#limit-max_waiting")).to_have_value("100")
    finally:
        server.stop()


def limits_page(browser: Browser, name: str, server: ServeProcess) -> Iterator[Page]:
    for visitors in visiting(browser, server):
        yield sign_in(visitors, name, PAGES["limits"])
