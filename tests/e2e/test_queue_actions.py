"""Operators act in the live queue, in a real Chromium, and the queue obeys."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect
from websockets.sync.client import connect

from tests.e2e.operators import (
    OPERATOR,
    PATIENCE,
    QUEUE,
    Crowd,
    button,
    item,
    new_staff,
    open_queue,
    row,
    worker_id,
)
from tests.e2e.page import ask
from tests.e2e.visitors import ENDLESS, PASSWORD, Visitors, serving_fast, visiting
from tests.support.documented import documented
from tests.support.processes import ROOT, ServeProcess

PRIVATE = "zebra crossing"
"""In a prompt; the fake engine says it, too."""

NEW_ACCOUNT = """
from django.contrib.auth.models import User
User.objects.create_user({name!r}, password={password!r})
"""
LOG = """
import json
from django.contrib.admin.models import LogEntry
entries = LogEntry.objects.filter(user__username={name!r}).order_by("pk")
print("LOG", json.dumps([[e.object_repr, e.change_message] for e in entries]))
"""


@pytest.fixture(scope="module")
def acted_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that answers two at once, each for minutes."""
    yield from serving_fast(
        tmp_path_factory.mktemp("actions"),
        CHATSTREAM_MAX_RUNNING="2",
        CHATSTREAM_MAX_TOKENS="4000",
        FAKE_STEP_SECONDS="0.05",
    )


@pytest.fixture
def visitors(browser: Browser, acted_on: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, acted_on)


@pytest.fixture
def crowd(acted_on: ServeProcess, operator: Page) -> Iterator[Crowd]:
    """At the end nothing is left open, and all orders are taken back."""
    kept = Crowd(acted_on)
    yield kept
    kept.leave()
    clear(operator, acted_on)


@pytest.fixture(scope="module")
def operator_name(acted_on: ServeProcess) -> str:
    """An account that may act, but not read what people write."""
    return new_staff(acted_on, *OPERATOR)


@pytest.fixture
def operator(visitors: Visitors, operator_name: str) -> Page:
    """The operator's live queue."""
    return open_queue(visitors, operator_name)


def clear(page: Page, server: ServeProcess) -> None:
    """Cancel everything and take back all orders, as forms, whatever the page is like now."""
    page.goto(server.url + QUEUE)
    token = next(c["value"] for c in page.context.cookies() if c.get("name") == "csrftoken")
    worker = page.locator("#workers tr[data-key]").get_attribute("data-key") or ""
    ids = page.locator("#running tr[data-key], #waiting tr[data-key]").evaluate_all(
        "rows => rows.map((row) => row.dataset.key)"
    )
    for action, fields in (
        ("reopen", {}),
        ("resume", {"all": "1"}),
        ("resume", {"worker_id": worker}),
        ("undrain", {"worker_id": worker}),
        ("capacity", {"worker_id": worker, f"capacity:{worker}": "2"}),
        *(("cancel", {"response_id": response_id}) for response_id in ids),
    ):
        answer = page.context.request.post(
            f"{server.url}{QUEUE}{action}/",
            form={**fields, "confirmed": "1", "csrfmiddlewaretoken": token},
            headers={"Referer": server.url},
        )
        assert answer.ok, (action, answer.status)
    expect(page.locator("#running tr[data-key]")).to_have_count(0, timeout=PATIENCE)


def expect_said(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator(".messagelist")).to_contain_text(text, timeout=PATIENCE)


def confirm(page: Page, yes: str) -> None:
    """In the dialog, which has the focus on "No"."""
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("No, take me back")).to_be_focused()
    dialog.get_by_role("button", name=yes).click()
    expect(dialog).to_have_count(0)


def log_of(server: ServeProcess, name: str) -> list[list[str]]:
    """What the admin log has of somebody: names and messages, the oldest first."""
    output = server.manage("shell", "-c", LOG.format(name=name))
    found = re.search(r"^LOG (.*)$", output, re.MULTILINE)
    assert found, output
    entries: list[list[str]] = json.loads(found[1])
    return entries


def test_an_operator_steers_the_queue(
    operator: Page, operator_name: str, crowd: Crowd, acted_on: ServeProcess
) -> None:
    page = operator
    page.evaluate("window.stayed = true")  # no action reloads the page
    worker = worker_id(page)
    first, second = crowd.fill()
    waiting = [crowd.ask() for _ in range(4)]

    # Cancel one that waits.
    item(page, "cancel", "response_id", waiting[0].id).click()
    confirm(page, "Yes, cancel it")
    expect_said(page, f"Response {waiting[0].id[:8]} is cancelled.")
    assert waiting[0].until_end()["status"] == "cancelled"
    expect(row(page, "waiting", waiting[0].id)).to_have_count(0, timeout=PATIENCE)

    # One to the front, then cancel one that runs: the moved one takes its place.
    item(page, "move", "front", waiting[3].id).click()
    expect_said(page, f"Response {waiting[3].id[:8]} is at the front of the waiting list.")
    item(page, "cancel", "response_id", first.id).click()
    confirm(page, "Yes, cancel it")
    expect_said(page, f"Response {first.id[:8]} is cancelled.")
    done = first.until_end()
    assert done["status"] == "cancelled"
    assert done["output"][0]["content"][0]["text"].startswith("w0 ")
    waiting[3].until("response.in_progress")
    expect(row(page, "running", waiting[3].id)).to_have_count(1, timeout=PATIENCE)

    # Pause: what becomes free stays free. Resume: the next one starts.
    button(page, "pause", "worker_id", worker).click()
    expect_said(page, f"Worker {worker} is paused")
    item(page, "cancel", "response_id", second.id).click()
    confirm(page, "Yes, cancel it")
    second.until_end()
    expect(row(page, "running", second.id)).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(1500)  # longer than the worker's poll
    expect(row(page, "waiting", waiting[1].id)).to_have_count(1)
    button(page, "resume", "worker_id", worker).click()
    expect_said(page, f"Worker {worker} claims again.")
    waiting[1].until("response.in_progress")

    # Fewer at once: nobody is thrown out, and a free place is not filled. More: it is.
    page.locator(f"[name='capacity:{worker}']").fill("1")
    page.locator(f"[name='capacity:{worker}']").press("Enter")
    expect_said(page, f"Worker {worker} runs up to 1 response at once.")
    expect(row(page, "running", waiting[1].id)).to_have_count(1)
    item(page, "cancel", "response_id", waiting[1].id).click()
    confirm(page, "Yes, cancel it")
    waiting[1].until_end()
    page.wait_for_timeout(1500)
    expect(row(page, "waiting", waiting[2].id)).to_have_count(1)
    page.locator(f"[name='capacity:{worker}']").fill("2")
    button(page, "capacity", "worker_id", worker).click()
    expect_said(page, f"Worker {worker} runs up to 2 responses at once.")
    waiting[2].until("response.in_progress")

    # Drain: what runs goes on, new prompts are refused; taken back, they are served.
    button(page, "drain", "worker_id", worker).click()
    expect(page.get_by_role("dialog")).to_contain_text("No other worker serves")
    confirm(page, "Yes, drain it")
    expect_said(page, f"Worker {worker} drains: it finishes 2 responses")
    with connect(acted_on.ws_url) as socket:
        socket.recv(PATIENCE / 1000)
        socket.send(json.dumps({"type": "response.create", "input": "stop 1"}))
        assert json.loads(socket.recv(PATIENCE / 1000))["code"] == "unavailable"
    waiting[2].until("response.output_text.delta")
    button(page, "undrain", "worker_id", worker).click()
    expect_said(page, f"Worker {worker} serves again.")
    item(page, "cancel", "response_id", waiting[2].id).click()
    confirm(page, "Yes, cancel it")
    crowd.ask().until("response.in_progress")

    assert page.evaluate("window.stayed")
    cancelled, at_front = "Cancelled in the live queue.", "Moved to the front of the waiting list."
    assert log_of(acted_on, operator_name)[-12:] == [
        [waiting[0].id, cancelled],
        [waiting[3].id, at_front],
        [first.id, cancelled],
        [f"Worker {worker}", "Paused."],
        [second.id, cancelled],
        [f"Worker {worker}", "Resumed."],
        [f"Worker {worker}", "Ordered to run up to 1 at once."],
        [waiting[1].id, cancelled],
        [f"Worker {worker}", "Ordered to run up to 2 at once."],
        [f"Worker {worker}", "Ordered to drain."],
        [f"Worker {worker}", "Ordered to serve again."],
        [waiting[2].id, cancelled],
    ]
    page.goto(f"{acted_on.url}/admin/")
    expect(page.locator(".actionlist")).to_contain_text(f"Worker {worker}")


def test_people_are_told(
    operator: Page, crowd: Crowd, visitors: Visitors, acted_on: ServeProcess
) -> None:
    page = operator
    visitor = visitors.open()
    answer = ask(visitor, ENDLESS)
    expect(answer.locator(".text")).to_contain_text("w1 ", timeout=PATIENCE)
    response_id = answer.get_attribute("data-response-id") or ""
    item(page, "cancel", "response_id", response_id).click(timeout=PATIENCE)
    confirm(page, "Yes, cancel it")
    expect(answer).to_have_attribute("data-status", "cancelled", timeout=PATIENCE)
    expect(answer.locator(".text")).to_contain_text("w1 ")

    page.locator("[name=closed_message]").fill("We move house. Back at noon.")
    button(page, "close", "close", "1").click()
    expect(page.get_by_role("dialog")).to_contain_text("We move house. Back at noon.")
    confirm(page, "Yes, close it")
    expect_said(page, "The queue is closed to new prompts.")
    visitor.locator("#prompt").fill("stop 2")
    visitor.locator("#prompt").press("Enter")
    expect(visitor.get_by_text("We move house. Back at noon.").first).to_be_visible()
    button(page, "reopen", "reopen", "1").click()
    expect_said(page, "The queue is open again.")
    visitor.reload()
    again = ask(visitor, "stop 2")
    expect(again).to_have_attribute("data-status", "completed", timeout=PATIENCE)


def test_several_and_an_owner_with_a_way_back(operator: Page, crowd: Crowd) -> None:
    page = operator
    first, second = crowd.fill()
    third, fourth = crowd.ask(), crowd.ask()
    # Nothing is selected.
    button(page, "cancel", "selection", "selected").click()
    expect_said(page, "No response is selected.")
    for asker in (first, third):
        page.locator(f"[name=selected][value='{asker.id}']").check()
    button(page, "cancel", "selection", "selected").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel 2 responses?")
    expect(dialog).to_contain_text(f"{first.id[:8]} · running")
    expect(dialog).to_contain_text(f"{third.id[:8]} · waiting")
    report = Axe().run(page, context="dialog")
    assert report.response["violations"] == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button(page, "cancel", "selection", "selected")).to_be_focused()
    expect(button(page, "cancel", "selection", "selected")).to_be_enabled()
    expect(row(page, "running", first.id)).to_have_count(1)
    button(page, "cancel", "selection", "selected").click()
    confirm(page, "Yes, cancel them")
    expect_said(page, "2 responses are cancelled.")
    assert first.until_end()["status"] == "cancelled"
    assert third.until_end()["status"] == "cancelled"
    fourth.until("response.in_progress")
    owner = item(page, "cancel", "response_id", second.id).locator(
        "xpath=ancestor::tr//button[@name='owner']"
    )
    owner.click()
    confirm(page, "Yes, cancel it")
    assert second.until_end()["status"] == "cancelled"
    expect(row(page, "running", fourth.id)).to_have_count(1)


def test_a_response_that_ends_before_the_confirmation(operator: Page, crowd: Crowd) -> None:
    page = operator
    asker = crowd.ask("stop 60")
    asker.until("response.in_progress")
    item(page, "cancel", "response_id", asker.id).click(timeout=PATIENCE)
    expect(page.get_by_role("dialog")).to_be_visible()
    assert asker.until_end()["status"] == "completed"
    confirm(page, "Yes, cancel it")
    expect_said(page, "This response had ended already.")


def test_all_works_without_javascript(
    visitors: Visitors,
    operator: Page,
    operator_name: str,
    crowd: Crowd,
    acted_on: ServeProcess,
) -> None:
    page = open_queue(visitors, operator_name, java_script_enabled=False)
    page.goto(f"{acted_on.url}{QUEUE}?q=none")
    button(page, "pause", "all", "1").click()
    expect(page.get_by_role("heading", name="Pause all workers?")).to_be_visible()
    page.get_by_role("link", name="No, take me back").click()
    expect(page).to_have_url(f"{acted_on.url}{QUEUE}?q=none")
    button(page, "pause", "all", "1").click()
    page.get_by_role("button", name="Yes, pause all").click()
    expect(page).to_have_url(f"{acted_on.url}{QUEUE}?q=none")
    expect_said(page, "All workers are paused: prompts are accepted and wait.")
    waits = crowd.ask()
    button(operator, "resume", "all", "1").click()
    expect_said(operator, "Resumed: the workers claim again.")
    waits.until("response.in_progress")


def test_a_lost_network_and_an_ended_session(
    operator: Page, crowd: Crowd, visitors: Visitors
) -> None:
    page = operator

    def cut(route: Route) -> None:
        route.abort()

    page.route("**/queue/pause/", cut)
    button(page, "pause", "all", "1").click()
    expect_said(page, "The server cannot be reached.")
    expect(button(page, "pause", "all", "1")).to_be_enabled()
    page.unroute("**/queue/pause/", cut)
    (told,) = visitors.complaints
    assert "net::ERR_FAILED" in told
    visitors.complaints.clear()
    button(page, "pause", "all", "1").click()
    confirm(page, "Yes, pause all")
    expect_said(page, "All workers are paused")
    expect(page.locator(".messagelist li")).to_have_count(1)
    page.get_by_role("button", name="Close the message").click()
    expect(page.locator(".messagelist")).to_have_count(0)
    session = [c for c in page.context.cookies() if c.get("name") == "sessionid"]
    page.context.clear_cookies(name="sessionid")
    button(page, "resume", "all", "1").click()
    expect(page).to_have_url(re.compile("/admin/login/"), timeout=PATIENCE)
    page.context.add_cookies(session)  # type: ignore[arg-type]


def test_who_may_only_look_has_no_buttons_and_reads_no_text(
    visitors: Visitors,
    operator: Page,
    operator_name: str,
    crowd: Crowd,
    acted_on: ServeProcess,
) -> None:
    said = f"say {PRIVATE} " + "and so on " * 500
    running = crowd.ask(said)
    running.until("response.output_text.delta")
    crowd.ask(ENDLESS).until("response.in_progress")
    waiting = crowd.ask(said)
    viewer = open_queue(visitors, new_staff(acted_on, "view_queue", "view_response"))
    frames: list[str] = []
    for page in (viewer, operator):
        page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda f: frames.append(str(f)))
        )
        page.goto(acted_on.url + QUEUE)
        expect(row(page, "running", running.id)).to_have_count(1, timeout=PATIENCE)
        expect(row(page, "waiting", waiting.id)).to_have_count(1)
        expect(page.locator("#live")).to_have_attribute("data-state", "open")
    expect(viewer.locator("button[formaction]")).to_have_count(0)
    expect(viewer.locator("[name=selected], [name=closed_message]")).to_have_count(0)
    item(operator, "move", "front", waiting.id).click()
    expect_said(operator, "is at the front of the waiting list.")
    item(operator, "cancel", "response_id", running.id).click()
    expect(operator.get_by_role("dialog")).to_contain_text(running.id[:8])
    shown = operator.content()
    confirm(operator, "Yes, cancel it")
    running.until_end()
    expect(row(operator, "running", running.id)).to_have_count(0, timeout=PATIENCE)
    shown += operator.content() + viewer.content()
    for address in ("/admin/", f"/admin/streaming/response/{running.id}/history/"):
        operator.goto(acted_on.url + address)
        shown += operator.content()
    assert any(running.id in frame for frame in frames)
    assert "Cancelled in the live queue." in shown
    assert PRIVATE not in shown
    assert "zebra" not in "".join(frames)
    assert "zebra" not in json.dumps(log_of(acted_on, operator_name))


def test_the_documented_groups(visitors: Visitors, operator: Page, acted_on: ServeProcess) -> None:
    """The commands of the documentation, as printed, make an account that may act."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    acted_on.manage("shell", "-c", NEW_ACCOUNT.format(name="ada", password=PASSWORD))
    for name in ("groups", "groups", "operator"):
        command = documented("operating.md", name)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env={**acted_on.env, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    page = open_queue(visitors, "ada")
    button(page, "capacity", "worker_id", worker_id(page)).click()
    expect_said(page, "runs up to 2 responses at once.")
    button(page, "cancel", "selection", "selected").click()
    expect_said(page, "No response is selected.")
