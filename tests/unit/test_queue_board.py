"""The live queue's page and its frames: made once, sent as what differs, the same as the first."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import quote

import pytest
from django.template.loader import render_to_string

from streaming.live_queue.board import Board, Boards
from streaming.live_queue.cells import MARKS
from streaming.live_queue.moments import Moments
from streaming.live_queue.pages import completed
from streaming.live_queue.rates import Rates
from streaming.live_queue.search import find
from streaming.live_queue.watch import QueueWatch
from streaming.record.origins import Origin
from streaming.waiting_list.interface import EntryRow, State, WorkerRow, WorkerState

NOW = 1_800_000_000.0
FIRST, SECOND, HELD, RUNS = (f"{kind * 8}-0000-4000-8000-000000000000" for kind in "abcd")
KNOWN = {FIRST: Origin("api", 12_345)}


def entry(name: str, state: State, position: int | None, **more: Any) -> dict[str, Any]:
    worker = "w1" if state is State.RUNNING else ""
    row = EntryRow(name, "user:7", RUNS, state, position, worker, 1, 5.0, 40, 64, 6.0)
    values = asdict(row) | more
    del values["slot"]
    return values


def look() -> dict[str, Any]:
    worker = WorkerRow("w1", 2, WorkerState.READY, 1, 0.5, {"model": "small", "rows": 4})
    return {
        "workers": [asdict(worker)],
        "running": [entry(RUNS, State.RUNNING, None, prompt_tokens=None)],
        "waiting": [
            entry(FIRST, State.WAITING, 1, eta=60.0),
            entry(SECOND, State.WAITING, 2, eta=70.0, owner="visitor:<b>&"),
            entry(HELD, State.HELD, None, eta=None),
        ],
        "paused": False,
        "closed": None,
    }


class Told:
    """Looks one after the other, as pages in one language are shown them."""

    def __init__(self, language: str = "en") -> None:
        self._boards, self._moments, self._rates = Boards(language), Moments(), Rates()

    def board(self, seen: dict[str, Any], now: float = NOW) -> Board:
        self._rates.count(seen["running"], now)
        return self._boards.make(self._moments.date(completed(seen, self._rates, KNOWN), now), now)


def news(board: Board, sent: Board | None) -> dict[str, Any]:
    return json.loads(board.frame(sent) or "{}")


def test_nothing_new_is_no_frame_though_clocks_go_on() -> None:
    told = Told()
    first = told.board(look() | {"running": []})
    later = look() | {"running": []}
    for row in later["waiting"]:
        row["since"] += 4
        row["asked"] += 4
        if row.get("eta"):
            row["eta"] -= 4
    later["workers"][0]["age"] = 4.5
    assert told.board(later, NOW + 4).frame(first) is None


def test_a_frame_has_what_differs_alone() -> None:
    told = Told()
    first = told.board(look())
    later = look()
    # The first one starts: the second is next.
    started = later["waiting"].pop(0) | {"state": "running", "position": None, "worker_id": "w1"}
    del started["eta"]
    later["running"].append(started | {"prompt_tokens": 9, "tokens": 0})
    later["waiting"][0]["position"] = 1
    frame = news(told.board(later), first)
    assert frame["whole"] is False
    assert set(frame["page"]) == {"count_running", "count_waiting"}
    waiting = frame["tables"]["waiting"]
    assert waiting["gone"] == [FIRST]
    assert "order" not in waiting
    assert waiting["rows"] == {SECOND: {"parts": {"place": _place("1")}}}
    running = frame["tables"]["running"]["rows"]
    assert set(running) == {FIRST}  # the other has not changed
    assert running[FIRST]["names"]["worker_id"] == "w1"


def _place(text: str) -> dict[str, Any]:
    return {"text": text, "title": None, "data-state": None}


def test_what_the_record_has_not_said_yet_is_not_overwritten() -> None:
    """The first page has read it; the first frames of the socket come before that is read again."""
    told = Told()
    first = told.board(look())
    rows = news(first, None)["tables"]["waiting"]["rows"]
    assert rows[FIRST]["parts"]["source"] == {"text": "API"}
    assert rows[FIRST]["parts"]["size"] == {"text": "12.3k"}
    assert not {"source", "size"} & set(rows[SECOND]["parts"])
    later = look()
    later["waiting"][1] |= {"source": "chat", "characters": 40}
    row = news(told.board(later), first)["tables"]["waiting"]["rows"][SECOND]
    assert row == {"parts": {"source": {"text": "Chat"}, "size": {"text": "40"}}}


def test_an_order_is_sent_when_rows_change_places() -> None:
    told = Told()
    first = told.board(look())
    later = look()
    one, other = later["waiting"][:2]
    later["waiting"][:2] = [other | {"position": 1}, one | {"position": 2}]
    assert news(told.board(later), first)["tables"]["waiting"]["order"] == [SECOND, FIRST, HELD]


def test_new_names_make_it_another_row() -> None:
    told = Told()
    first = told.board(look())
    later = look()
    later["waiting"][1]["owner"] = "user:9"  # the visitor has signed in
    row = news(told.board(later), first)["tables"]["waiting"]["rows"][SECOND]
    assert row["names"]["owner"] == "user:9"
    assert "waited" in row["parts"]


def test_all_who_were_sent_the_same_get_the_same_text() -> None:
    told = Told()
    first = told.board(look())
    later = look() | {"paused": True}
    second = told.board(later)
    assert second.frame(first) is second.frame(first)
    assert news(second, None)["whole"] is True
    assert second.frame(second) is None


def test_each_language_has_its_own_words() -> None:
    english, japanese = Told().board(look()), Told("ja").board(look())
    place = [board.tables["waiting"][HELD].parts["place"].text for board in (english, japanese)]
    assert place[0] == "held"
    assert place[1] != "held"


def test_the_search_looks_at_names_and_states_in_any_case() -> None:
    board = Told().board(look())
    assert list(find(board, "VISITOR waiting").waiting) == [SECOND]
    assert list(find(board, "held").waiting) == [HELD]
    found = find(board, "w1")
    assert (list(found.workers), list(found.running), found.count, found.total) == (
        ["w1"], [RUNS], 2, 5,
    )  # fmt: skip


def test_owners_have_their_share() -> None:
    rows = Told().board(look()).tables["owners"]
    assert list(rows) == ["user:7", "visitor:<b>&"]
    names = ("running", "waiting", "share")
    texts = [[row.parts[name].text for name in names] for row in rows.values()]
    assert texts == [["1", "2", "75 %"], ["0", "1", "25 %"]]


# --- the first page and what comes after it ---


class Elements(HTMLParser):
    """A row as a tree: [tag, attributes, children], texts without the space around them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[list[Any]] = [["", {}, []]]
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        element = [tag, {name: value or "" for name, value in attrs}, []]
        self.stack[-1][2].append(element)
        if tag != "input":
            self.stack.append(element)

    def handle_endtag(self, tag: str) -> None:
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if text := " ".join(data.split()):
            self.stack[-1][2].append(text)


def as_script(element: Any, names: dict[str, str], parts: dict[str, Any]) -> None:
    """What `queue_rows.js` does with the row of the `<template>`."""
    if isinstance(element, str):
        return
    _tag, attributes, children = element
    for name, value in attributes.items():
        for key, mark in MARKS.items():
            encoded = names.get(key, "")
            if name == "href":
                encoded = _quoted(encoded)
            value = value.replace(mark, encoded)
        attributes[name] = value
    given = dict(parts.get(attributes.get("data-part", ""), {}))
    if (text := given.pop("text", None)) is not None:
        children[:] = [text] if text else []
    for name, value in given.items():
        if value is None or value is False:
            attributes.pop(name, None)
        else:
            attributes[name] = "" if value is True else value
    for child in children:
        as_script(child, names, parts)


def _quoted(text: str) -> str:
    return quote(text, safe="!'()*")


@pytest.mark.parametrize("may", [True, False], ids=["operator", "viewer"])
@pytest.mark.parametrize(
    ("table", "template"),
    [
        ("workers", "queue_worker"),
        ("running", "queue_running"),
        ("waiting", "queue_waiting"),
        ("owners", "queue_owner"),
    ],
)
def test_a_row_that_comes_later_is_the_same_as_on_the_first_page(
    table: str, template: str, may: bool
) -> None:
    rights = ("can_cancel", "can_control", "can_view_responses", "can_view_conversations")
    board = Told().board(look())
    sent = news(board, None)["tables"][table]["rows"]
    assert sent

    def rendered(row: Any) -> list[Any]:
        path = f"admin/streaming/response/{template}.html"
        return Elements(render_to_string(path, {**dict.fromkeys(rights, may), "row": row})).stack[0]

    for key, row in board.tables[table].items():
        later = rendered({"names": MARKS})
        as_script(later, sent[key]["names"], sent[key]["parts"])
        assert later == rendered(row)


async def test_boards_are_made_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands that wait they take most of a second, in which nobody would be sent a token."""
    threads: list[int] = []
    make = Boards.make

    def noted(self: Boards, look: Any, now: float) -> Board:
        threads.append(threading.get_ident())
        return make(self, look, now)

    monkeypatch.setattr(Boards, "make", noted)
    watch = QueueWatch(SimpleNamespace(waiting_list=None))  # type: ignore[arg-type]
    empty = {"workers": [], "running": [], "waiting": [], "paused": False, "closed": None}
    monkeypatch.setattr(watch, "_queue", SimpleNamespace(look=AsyncMock(return_value=empty)))
    monkeypatch.setattr(watch, "_follow_samples", AsyncMock())
    watch._watchers = {object(): "en", object(): ""}
    await watch._poll()
    assert watch.pages.board("en")
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
