"""The admin's pages of ours on every screen: nothing is cut off or out of reach, axe included."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.operators import OPERATOR, QUEUE, Crowd, item, new_staff, open_queue, row
from tests.e2e.queue_frames import Frames, entry, name, running, worker
from tests.e2e.visitors import PASSWORD, Visitors, new_name, serving_fast, visiting
from tests.support.processes import ServeProcess

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
TITLE = "On the sea and what lives in it, as far as it is known to us, with names and places"
ACCOUNT = "margarethe.von.waldhausen@example.org"
FINGER = 40
"""Least height in pixels of what a finger is to hit."""

RECORD = """
import json
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from streaming.identity import keys
from streaming.models import Conversation, Message, Response
user = User.objects.create({account!r})
at = timezone.now() - timedelta(minutes=30)
for number in range(24):
    whose = dict(owner=f"user:{{user.pk}}", user=user) if number % 3 else dict(
        owner=f"visitor:{{number:022}}")
    one = Conversation.objects.create(title={title!r}, **whose)
    prompt = Message.objects.create(conversation=one, role="user", content="Tell me. " * 40)
    row = Response.objects.create(
        conversation=one, prompt=prompt, owner=one.owner,
        status="failed" if number % 4 else "completed",
        text="Wide. " * 50 + ("An albatross <b>came</b>." if number == 5 else "") + " Far." * 50,
        worker="gpu-1.example.org:4711:ab12cd", error_code="engine_error" if number % 4 else "",
        prompt_tokens=1012, completion_tokens=2090, attempt=2,
    )
    Response.objects.filter(pk=row.pk).update(
        created_at=at, started_at=at + timedelta(seconds=75),
        first_token_at=at + timedelta(seconds=76), finished_at=at + timedelta(seconds=190),
    )
key, _ = keys.create(user, "laptop")
print("IDS", json.dumps([str(one.pk) for one in (row, row.conversation, prompt, key)]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(
        tmp_path_factory.mktemp("console"), CHATSTREAM_MAX_TOKENS="4000", FAKE_STEP_SECONDS="0.5"
    )


@pytest.fixture(scope="module")
def superuser(site: ServeProcess) -> str:
    found = new_name()
    args = ["createsuperuser", "--noinput", "--username", found, "--email", "boss@example.com"]
    site.manage(*args, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    return found


@pytest.fixture(scope="module")
def paths(site: ServeProcess, superuser: str) -> dict[str, str]:
    """Every page of ours in the admin, with something on it."""
    code = RECORD.format(account=ACCOUNT, title=TITLE).replace(
        f"create({ACCOUNT!r})", f"create(username={ACCOUNT!r})"
    )
    output = site.manage("shell", "-c", code)
    ids = json.loads(output.split("IDS ")[1])
    places = {"home": "/admin/", "app": "/admin/streaming/", "queue": QUEUE}
    for model, pk in zip(("response", "conversation", "message", "apikey"), ids, strict=True):
        base = f"/admin/streaming/{model}/"
        places[model] = base
        places[f"{model}, searched"] = f"{base}?q=a"
        places[f"{model}, nothing found"] = f"{base}?q=zzzz"
        places[f"{model}, one"] = f"{base}{pk}/change/"
        places[f"{model}, its log"] = f"{base}{pk}/history/"
        places[f"{model}, to delete"] = f"{base}{pk}/delete/"
    places["apikey, a new one"] = "/admin/streaming/apikey/add/"
    return places


@pytest.fixture
def visitors(browser: Browser, site: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, site)


@pytest.fixture(scope="module")
def waits(site: ServeProcess) -> Iterator[str]:
    """The id of one that waits behind two that run, as long as the module does."""
    crowd = Crowd(site)
    crowd.fill()
    yield crowd.ask().id
    crowd.leave()


def check(page: Page, where: str) -> None:
    """Nothing serious, and nothing wider than the screen."""
    # `resultTypes`: its default, lost with options of our own; else axe describes all that passes.
    options = {"preload": False, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    serious = [
        f"{where}: {rule['id']}: {[node['html'][:120] for node in rule['nodes']]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]
    assert serious == []
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width, where


def check_all_sizes(page: Page, where: str) -> None:
    """On a page that is open: a desktop's screen, then a phone's."""
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        check(page, f"{where}, {size['width']}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(
    visitors: Visitors,
    superuser: str,
    site: ServeProcess,
    paths: dict[str, str],
    waits: str,
    scheme: str,
) -> None:
    page = open_queue(visitors, superuser, viewport=DESKTOP, color_scheme=scheme)
    for where, path in paths.items():
        page.goto(site.url + path)
        check_all_sizes(page, where)
    page.goto(site.url + QUEUE)
    item(page, "cancel", "response_id", waits).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check_all_sizes(page, "the question")
    visitors.complaints.clear()  # the checker's own styles are not allowed there


def test_without_javascript_the_question_is_a_page(
    visitors: Visitors, superuser: str, site: ServeProcess, waits: str
) -> None:
    page = open_queue(visitors, superuser, java_script_enabled=False)
    item(page, "cancel", "response_id", waits).click()
    expect(page.get_by_role("heading", name="Cancel 1 response?")).to_be_visible()
    expect(page.get_by_text(f"{waits[:8]} · waiting")).to_be_visible()
    page.get_by_role("link", name="No, take me back").click()
    expect(row(page, "waiting", waits)).to_have_count(1)


# --- a phone ---


def test_on_a_phone_every_action_is_within_reach(
    visitors: Visitors, superuser: str, site: ServeProcess
) -> None:
    page = open_queue(visitors, superuser, viewport=PHONE, has_touch=True, is_mobile=True)
    frames = Frames(page, site)
    waits = [entry(number) for number in range(1, 4)]
    frames.open(workers=[worker()], running=[running(9)], waiting=waits)
    expect(page.locator("#waiting tr")).to_have_count(3)
    actions = page.locator(".cs-queue button:visible, .cs-queue [type=checkbox]:visible")
    assert actions.count() > 15  # those of rows are in their menus
    for index in range(actions.count()):
        one = actions.nth(index)
        box = one.bounding_box()
        label = one.get_attribute("aria-label") or one.inner_text()
        assert box, label
        assert box["x"] >= 0, label
        assert box["x"] + box["width"] <= PHONE["width"], label
        if one.evaluate("one => one.matches('button')"):
            assert box["height"] >= FINGER, label
    # Rows come before the third screen.
    first = page.locator("#waiting tr").first.bounding_box()
    assert first
    assert first["y"] < 2 * PHONE["height"]
    with page.expect_request("**/queue/move/") as asked:
        item(page, "move", "front", name("a", 2)).tap()
    assert name("a", 2) in (asked.value.post_data or "")


# --- lists ---


def is_cut(element: Locator) -> bool:
    return bool(element.evaluate("one => one.scrollWidth > one.clientWidth"))


def hidden_columns(page: Page) -> list[str]:
    """The headings of the list that lie beyond the right edge of what is shown of it."""
    found: list[str] = page.evaluate(
        """() => {
            const heads = [...document.querySelectorAll("#result_list thead th")];
            const edge = (element) => element.getBoundingClientRect().right;
            const limit = edge(document.querySelector("#result_list").closest(".results"));
            return heads.filter((head) => edge(head) > limit + 1).map((head) => head.innerText);
        }"""
    )
    return found


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("response", ""),
        ("response", "?q=albatross"),
        ("conversation", ""),
        ("conversation", "?q=lives"),
        ("message", ""),
        ("message", "?q=tell"),
        ("apikey", ""),
    ],
)
def test_no_column_is_hidden_at_1440(
    visitors: Visitors,
    superuser: str,
    site: ServeProcess,
    paths: dict[str, str],
    model: str,
    query: str,
) -> None:
    page = open_queue(visitors, superuser, viewport=DESKTOP)
    page.goto(f"{site.url}{paths[model]}{query}")
    expect(page.locator("#result_list tbody tr").first).to_be_visible()
    assert hidden_columns(page) == []


def test_titles_of_conversations_have_room(
    visitors: Visitors, superuser: str, site: ServeProcess, paths: dict[str, str]
) -> None:
    page = open_queue(visitors, superuser, viewport=DESKTOP)
    page.goto(site.url + paths["conversation"])
    title = page.locator("#result_list").get_by_text(TITLE).first
    box = title.bounding_box()
    assert box
    assert box["width"] >= 200
    assert box["height"] <= 100  # a few lines, not one for each word


def test_owners_are_not_cut_beside_empty_space(
    visitors: Visitors, superuser: str, site: ServeProcess
) -> None:
    page = open_queue(visitors, superuser, viewport=DESKTOP)
    frames = Frames(page, site)
    frames.open(workers=[worker()], running=[running(9)], waiting=[entry(1), entry(2)])
    owners = page.locator("#running [data-part=owner], #waiting [data-part=owner]")
    expect(owners).to_have_count(3)
    assert [is_cut(owners.nth(index)) for index in range(3)] == [False] * 3
    # Where there is no room they are cut, at the edge of the button beside them.
    frames.send(waiting=[entry(1, owner=f"visitor:{'W' * 90}")])
    expect(page.locator("#waiting tr")).to_have_count(1)
    long = page.locator("#waiting [data-part=owner]")
    assert is_cut(long)
    gap = page.locator("#waiting .cs-line").evaluate(
        "line => line.getBoundingClientRect().right"
        " - line.lastElementChild.getBoundingClientRect().right"
    )
    assert gap < 2


# --- the way there, and what is found ---


def test_the_live_queue_is_one_click_from_home(
    visitors: Visitors, site: ServeProcess, superuser: str
) -> None:
    for who in (superuser, new_staff(site, *OPERATOR), new_staff(site, "view_queue")):
        page = open_queue(visitors, who)
        page.goto(f"{site.url}/admin/")
        page.get_by_role("main").get_by_role("link", name="Live queue").click()
        expect(page).to_have_url(site.url + QUEUE)
        expect(page.locator("#live")).to_have_attribute("data-state", "open")
    nobody = new_staff(site, "view_response")
    page.context.clear_cookies()
    page.goto(f"{site.url}/admin/")
    page.locator("#id_username").fill(nobody)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("input[type=submit]").click()
    expect(page.get_by_role("link", name="Responses").first).to_be_visible()
    expect(page.get_by_role("link", name="Live queue")).to_have_count(0)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_search_of_the_queue_shows_what_it_finds(
    visitors: Visitors, superuser: str, site: ServeProcess, size: Any
) -> None:
    page = open_queue(visitors, superuser, viewport=size)
    frames = Frames(page, site)
    waits = [entry(number) for number in range(1, 60)]
    frames.open(workers=[worker()], running=[running(90)], waiting=waits)
    field = page.locator("#queue-q")
    before = field.bounding_box()
    field.press_sequentially(name("a", 50)[:8])
    found = row(page, "waiting", name("a", 50))
    expect(page.locator("#waiting tr")).to_have_count(1)
    expect(found).to_be_in_viewport(ratio=0.5)
    after = field.bounding_box()  # what is typed into stays where it is
    assert before
    assert after
    assert (after["x"], after["y"]) == (before["x"], before["y"])
    field.fill("")
    expect(page.locator(".cs-charts")).to_be_visible()
    page.goto(f"{site.url}{QUEUE}?q={name('a', 50)[:8]}")  # as a link to it does
    frames.open(workers=[worker()], running=[running(90)], waiting=waits)
    expect(found).to_be_in_viewport(ratio=0.5)


def test_a_search_of_the_history_shows_where_it_found_the_words(
    visitors: Visitors, superuser: str, site: ServeProcess, paths: dict[str, str]
) -> None:
    page = open_queue(visitors, superuser, viewport=DESKTOP)
    page.goto(f"{site.url}{paths['response']}?status__exact=failed")
    page.get_by_label("Search", exact=True).fill("ALBATROSS")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status").get_by_text("1 result")).to_be_visible()
    expect(page).to_have_url(re.compile("status__exact=failed"))
    (one,) = page.locator("#result_list tbody tr").all()
    expect(one.locator("mark")).to_have_text("albatross")
    expect(one.locator("mark")).to_be_in_viewport()
    expect(one).to_contain_text("An albatross <b>came</b>.")
    page.get_by_role("link", name="Clear the search").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(18)
    expect(page).to_have_url(re.compile(r"status__exact=failed"))
    page.goto(f"{site.url}{paths['conversation']}?q=lives")
    expect(page.locator("#result_list mark").first).to_have_text("lives")
    page.goto(f"{site.url}{paths['message']}?q=tell")
    expect(page.locator("#result_list mark").first).to_have_text("Tell")


def test_who_may_not_read_words_is_shown_none(
    visitors: Visitors, site: ServeProcess, paths: dict[str, str]
) -> None:
    who = new_staff(site, "view_queue", "view_response", "view_conversation", "view_message")
    page = open_queue(visitors, who)
    for model in ("response", "conversation", "message"):
        page.goto(f"{site.url}{paths[model]}?q=engine_error")
        page.goto(f"{site.url}{paths[model]}")
        expect(page.locator("#result_list tbody tr").first).to_be_visible()
        content = page.content()
        for words in ("Tell me", "Wide.", TITLE[:20]):
            assert words not in content, (model, words)
