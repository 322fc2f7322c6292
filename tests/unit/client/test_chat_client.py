"""The client against a server that misbehaves as told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from uuid import UUID, uuid4

import pytest

from streaming.client import (
    Answer,
    ChatClient,
    ChatError,
    OutputTextDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseResource,
)
from streaming.client import link as link_module
from streaming.client import persistent_link as persistent_link_module
from tests.support.passing_time import outlast
from tests.support.processes import ROOT
from tests.support.told_items import ToldItems
from tests.support.valkey import free_port
from tests.unit.client.scripted import PATIENCE, Line, scripted, stay
from tests.unit.client.told import TEXT, THOUGHT, call
from tests.unit.client.told import answer as answer_of


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent_link_module, "backoff", lambda tries: 0.01)


async def read(answer: Answer) -> tuple[str, list[str]]:
    """The text as the events say it, and their kinds."""
    text, kinds = "", []
    async with asyncio.timeout(PATIENCE):
        async for event in answer:
            kinds.append(event.type)
            if isinstance(event, ResponseInProgress):
                text = ""
            elif isinstance(event, OutputTextDelta):
                assert event.chatstream.offset == len(text)
                text += event.delta
    return text, kinds


async def plainly(line: Line) -> None:
    await line.greet()
    response_id = await line.accept()
    await line.position(response_id, 1)
    await line.begin(response_id)
    await line.delta(response_id, 4, "Par", 0)
    await line.delta(response_id, 5, "is", 3)
    await line.done(response_id, 6, "Paris")
    await stay(line)


async def test_an_answer_is_read_event_by_event() -> None:
    async with scripted(plainly) as server, ChatClient(server.url) as chat:
        assert chat.session is not None
        assert chat.session.model == "scripted"
        answer = await chat.ask("Where?", temperature=0, stop="x")
        assert answer.conversation_id == answer.id
        events = [event async for event in answer]
        assert isinstance(events[0], ResponseCreated)
        assert isinstance(events[1], ResponseQueued | ResponseQueuePosition)
        assert events[1].eta_seconds == 1.5
        assert answer.place is None
        end = await answer.done()
        assert isinstance(events[-1], ResponseCompleted)
        assert events[-1].response is end is answer.result
        assert events[-1].sequence_number == 6
        assert answer.text == "Paris"
        (item,) = answer.items
        assert [item] == end.output
        assert [part.text for part in item.content] == ["Paris"]
        assert [event async for event in answer] == []


async def test_the_load_of_the_queue_is_kept_up_to_date() -> None:
    load = {"waiting": 3, "running": 2, "capacity": 2, "eta_seconds": 60}
    span = {"eta_low_seconds": 40, "eta_high_seconds": 95}

    async def script(line: Line) -> None:
        await line.greet(load=load | span)
        await line.send("chatstream:load", service="paused", load=load | {"waiting": 9})
        response_id = await line.accept()
        await line.begin(response_id)
        await line.done(response_id, 4, "")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        assert chat.session is not None
        assert chat.session.load is not None
        assert (chat.session.load.eta_low_seconds, chat.session.load.eta_high_seconds) == (40, 95)
        await (await chat.ask("1")).done()  # behind it
        assert chat.session.load.waiting == 9
        assert chat.session.service == "paused"


async def test_what_is_not_given_is_not_sent() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        event = await line.heard("response.create")
        assert set(event) == {"type", "event_id", "response_id", "input"}
        await line.queued(event["response_id"])
        event = await line.heard("response.create")
        assert event["previous_response_id"] is None
        assert event["params"] == {"temperature": 0.5}
        assert event["conversation_id"]
        await line.queued(event["response_id"])
        third = await line.heard("response.create")
        assert third["previous_response_id"] == event["response_id"]
        await line.queued(third["response_id"])
        fourth = await line.heard("response.create")
        assert fourth["regenerates"] == third["response_id"]
        await line.queued(fourth["response_id"])
        fifth = await line.heard("response.create")
        assert fifth["continues"] == third["response_id"]
        assert "input" not in fifth
        await line.queued(fifth["response_id"])
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        first = await chat.ask("1")
        second = await chat.ask(
            "2", conversation_id=first.conversation_id, previous=None, temperature=0.5
        )
        third = await second.reply("3")
        await chat.regenerate(third)
        await chat.go_on(third.id)


async def test_instructions_go_where_they_are_given() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        for given in ({"instructions": "Be brief."}, {}, {"instructions": None}, {}):
            event = await line.heard("response.create")
            assert {name: event[name] for name in event if name == "instructions"} == given
            assert event.get("params", {}).get("temperature", 0.5) == 0.5
            await line.queued(event["response_id"])
        again = await line.heard("response.create")
        assert (again["instructions"], "params" in again) == ("", False)
        await line.queued(again["response_id"])
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        first = await chat.ask("1", instructions="Be brief.", temperature=0.5)
        second = await first.reply("2")
        await second.reply("3", instructions=None)
        await chat.go_on(first)
        await chat.regenerate(first, instructions="")


async def test_a_cut_line_loses_and_repeats_nothing() -> None:
    ids: list[str] = []

    async def first(line: Line) -> None:
        await line.greet()
        ids.append(await line.accept())
        await line.begin(ids[0])
        await line.delta(ids[0], 4, "one ", 0)
        line.cut()

    async def second(line: Line) -> None:
        await line.resumed()
        resume = await line.heard("chatstream:resume")
        assert resume["response_id"] == ids[0]
        assert resume["starting_after"] == 4
        await line.delta(ids[0], 4, "one ", 0)  # once more all the same
        await line.delta(ids[0], 5, "two ", 4)
        line.cut()

    async def third(line: Line) -> None:
        await line.resumed()
        assert (await line.heard("chatstream:resume"))["starting_after"] == 5
        await line.delta(ids[0], 6, "three", 8)
        await line.done(ids[0], 7, "one two three")
        await stay(line)

    seen: list[bool] = []
    async with scripted(first, second, third) as server:
        chat = ChatClient(server.url, on_connection=seen.append)
        answer = await chat.ask("Count.")
        text, kinds = await read(answer)
        await chat.close()
    assert text == answer.text == "one two three"
    assert kinds.count("response.in_progress") == 1
    assert seen == [True, False, True, False, True, False]


async def test_an_unacknowledged_prompt_is_sent_again_under_its_id() -> None:
    ids: list[str] = []

    async def first(line: Line) -> None:
        await line.greet()
        ids.append((await line.heard("response.create"))["response_id"])
        line.cut()

    async def second(line: Line) -> None:
        await line.resumed()
        assert await line.accept() == ids[0]
        await line.done(ids[0], 1, "")
        await stay(line)

    async with scripted(first, second) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("Hello")
        assert (await answer.done()).output == []
        assert answer.text == ""
        assert str(answer.id) == ids[0]


async def test_a_gap_is_asked_for_once() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        await line.delta(response_id, 5, "b", 1)
        await line.delta(response_id, 6, "c", 2)
        assert (await line.heard("chatstream:resume"))["starting_after"] == 3
        for number, letter in enumerate("abc"):
            await line.delta(response_id, number + 4, letter, number)
        await line.done(response_id, 7, "abc")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        assert (await read(await chat.ask("abc")))[0] == "abc"


async def test_a_wrong_offset_is_replayed_from_the_start_and_once_only() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        await line.delta(response_id, 4, "ab", 0)
        await line.delta(response_id, 5, "d", 3)
        assert (await line.heard("chatstream:resume"))["starting_after"] == 0
        await line.begin(response_id)
        await line.delta(response_id, 4, "abc", 0)
        await line.delta(response_id, 5, "d", 3)
        await line.delta(response_id, 6, "f", 5)
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("abcdef")
        with pytest.raises(ChatError) as lost:
            await answer.done()
        assert lost.value.code == "bad_server"
        assert answer.text == "abcd"


async def test_an_answer_that_begins_anew_voids_what_was_read() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        await line.delta(response_id, 4, "old", 0)
        await line.begin(response_id, 1_000_001)
        await line.delta(response_id, 1_000_004, "new", 0)
        await line.done(response_id, 1_000_005, "new")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        assert (await read(answer))[0] == "new"
        assert answer.text == "new"


@pytest.mark.parametrize(("read_before", "begins"), [("The e", 1), ("Another", 2)])
async def test_the_end_completes_what_was_missed(read_before: str, begins: int) -> None:
    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        await line.delta(response_id, 4, read_before, 0)
        await line.done(response_id, 5, "The end")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        await answer.done()
        text, kinds = await read(answer)
        assert text == answer.text == "The end"
        assert kinds.count("response.in_progress") == 1  # a slow reader is told of the last only


async def test_a_refusal_is_raised_with_its_words() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        for code in ("queue_full", "input_too_long", "a_newer_code"):
            event = await line.heard("response.create")
            await line.error(code, event, param="input")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        for code in ("queue_full", "input_too_long", "a_newer_code"):
            with pytest.raises(ChatError) as refused:
                await chat.ask("?")
            assert refused.value.code == code
            assert refused.value.message == f"({code})"
            assert refused.value.param == "input"
            assert isinstance(refused.value.response_id, UUID)


async def test_slow_down_is_obeyed_and_the_same_id_asked_again() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        first = await line.heard("response.create")
        await line.error("rate_limited", first)
        second = await line.heard("response.create")
        await line.error("rate_limited")  # too large to be read: whose it was is not known
        third = await line.heard("response.create")
        assert first == second == third
        await line.queued(first["response_id"])
        await line.done(first["response_id"], 1, "")
        fourth = await line.heard("response.create")
        while True:
            await line.error("internal_error", fourth)
            fourth = await line.heard("response.create")

    async with scripted(script) as server, ChatClient(server.url) as chat:
        await (await chat.ask("?")).done()
        with pytest.raises(ChatError) as given_up:
            await chat.ask("?")
        assert given_up.value.code == "internal_error"
        server.faults.clear()
        await chat.close()
        await outlast(0.05, "the end of the line")
        server.faults.clear()


async def test_cancel_is_asked_again_on_the_next_connection() -> None:
    ids: list[str] = []

    async def first(line: Line) -> None:
        await line.greet()
        ids.append(await line.accept())
        await line.begin(ids[0])
        assert (await line.heard("response.cancel"))["response_id"] == ids[0]
        line.cut()

    async def second(line: Line) -> None:
        await line.resumed()
        await line.heard("chatstream:resume")
        cancel = await line.heard("response.cancel")
        await line.error("already_done", cancel, response_id=ids[0])
        await line.done(ids[0], 4, "", status="cancelled")
        await stay(line)

    async with scripted(first, second) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        await answer.cancel()
        await answer.cancel()
        assert (await answer.done()).status == "cancelled"
        await answer.cancel()


async def test_edits_are_acknowledged_one_after_another_and_over_a_break() -> None:
    ids: list[str] = []

    async def first(line: Line) -> None:
        await line.greet()
        ids.append(await line.accept())
        assert (await line.heard("chatstream:update"))["input"] == "one"
        line.cut()

    async def second(line: Line) -> None:
        await line.resumed()
        await line.heard("chatstream:resume")
        await line.queued(ids[0])
        for _ in range(2):
            event = await line.heard("chatstream:update")
            await line.send("chatstream:updated", response_id=ids[0], input=event["input"])
        event = await line.heard("chatstream:update")
        await line.error("already_started", event, response_id=ids[0])
        await line.heard("chatstream:update")
        await line.done(ids[0], 1, "")
        await stay(line)

    async with scripted(first, second) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("zero")
        await asyncio.gather(answer.edit("one"), answer.edit("two"))
        with pytest.raises(ChatError) as late:
            await answer.edit("three")
        assert late.value.code == "already_started"
        for text in ("four", "five"):
            with pytest.raises(ChatError) as late:
                await answer.edit(text)
            assert late.value.code == "already_done"
        with pytest.raises(ChatError) as wrong:
            await answer.edit("\x00")
        assert wrong.value.code == "already_done"


@pytest.mark.parametrize("code", [4401, 4403])
async def test_a_session_that_ended_is_not_tried_again(code: int) -> None:
    async def script(line: Line) -> None:
        await line.greet()
        await line.accept()
        await line.error("login_required" if code == 4401 else "forbidden")
        await line.socket.close(code)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        with pytest.raises(ChatError) as lost:
            await answer.done()
        assert lost.value.code == ("login_required" if code == 4401 else "forbidden")
        assert "(" in lost.value.message  # the server's own words
        with pytest.raises(ChatError):
            [event async for event in answer]
        assert server.connections == 1


@pytest.mark.parametrize("code", [4429, 4503, 1012])
async def test_a_server_that_may_be_back_is_tried_again(code: int) -> None:
    ids: list[str] = []

    async def first(line: Line) -> None:
        await line.greet()
        ids.append(await line.accept())
        await line.socket.close(code)

    async def refuse(line: Line) -> None:
        await line.error("unavailable" if code == 4503 else "rate_limited")
        await line.socket.close(code if code > 4000 else 4429)

    async def third(line: Line) -> None:
        await line.resumed()
        await line.heard("chatstream:resume")
        await line.done(ids[0], 1, "late")
        await stay(line)

    async with scripted(first, refuse, third) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        await answer.done()
        assert answer.text == "late"


async def test_a_refused_greeting_is_raised_at_the_start() -> None:
    async def script(line: Line) -> None:
        await line.error("login_required")
        await line.socket.close(4401)

    async with scripted(script) as server:
        with pytest.raises(ChatError) as refused:
            async with ChatClient(server.url):
                pass
    assert refused.value.code == "login_required"


async def test_no_server_is_a_clear_error() -> None:
    url = f"ws://127.0.0.1:{free_port()}/ws/chat/"
    with pytest.raises(ChatError) as away:
        await ChatClient(url).connect()
    assert away.value.code == "unreachable"
    assert url in away.value.message
    with pytest.raises(ChatError) as wrong:
        await ChatClient("http://127.0.0.1/").connect()
    assert wrong.value.code == "unreachable"


async def test_what_is_no_chat_is_named() -> None:
    async def script(line: Line) -> None:
        await line.send("hello")
        await line.send("chatstream:session", protocol_version=2)
        await stay(line)

    async with scripted(script) as server:
        with pytest.raises(ChatError) as wrong:
            await ChatClient(server.url).connect()
    assert wrong.value.code == "bad_server"

    async def silent(line: Line) -> None:
        await stay(line)

    async with scripted(silent) as server:
        with pytest.raises(ChatError) as slow:
            await ChatClient(server.url, open_seconds=0.1).connect()
    assert "does not answer" in slow.value.message

    async def newer(line: Line) -> None:
        await line.greet(protocol_version=3)
        await stay(line)

    async def older(line: Line) -> None:
        await line.send("session.created", protocol_version=1)
        await stay(line)

    for script, version in ((newer, 3), (older, 1)):
        async with scripted(script) as server:
            with pytest.raises(ChatError) as other:
                await ChatClient(server.url).connect()
        assert f"version {version} of the protocol, this client 2" in other.value.message


@pytest.mark.parametrize(
    ("query", "asked"),
    [("", "version=2"), ("?a=%20b&c", "a=%20b&c&version=2"), ("?version=7", "version=7")],
)
async def test_the_address_says_the_version(query: str, asked: str) -> None:
    async def script(line: Line) -> None:
        assert line.socket.request is not None
        assert line.socket.request.path == f"/ws/chat/?{asked}"
        await line.greet()
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url + query):
        pass
    with pytest.raises(ChatError) as wrong:
        await ChatClient("ws://[::1").connect()
    assert wrong.value.code == "unreachable"


async def test_a_server_that_refuses_this_version_is_not_tried_again() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        await line.accept()
        await line.error("unsupported_version")
        await line.socket.close(4403)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        with pytest.raises(ChatError) as lost:
            await answer.done()
        assert (lost.value.code, lost.value.message) == (
            "unsupported_version",
            "(unsupported_version)",
        )
        assert server.connections == 1


SAID = [
    (THOUGHT, "Hm, "),
    (THOUGHT, "so."),
    (TEXT, "I look "),
    (TEXT, "it up."),
    call(0, '{"city": '),
    call(1, "{}", "clock"),
    call(0, '"Paris"}', ""),
]


@pytest.mark.parametrize("cut_after", range(0, 24, 3))
async def test_items_are_assembled_over_a_break(cut_after: int) -> None:
    """A thought, a text and two calls that are written at once."""
    ids: list[str] = []

    async def first(line: Line) -> None:
        await line.greet()
        ids.append(await line.accept())
        for event in answer_of(SAID, UUID(ids[0]))[:cut_after]:
            await line.event(event)
        line.cut()

    async def second(line: Line) -> None:
        await line.resumed()
        after = (await line.heard("chatstream:resume"))["starting_after"]
        log = answer_of(SAID, UUID(ids[0]))
        for event in log[max(0, after - 2) :]:  # some of them once more
            await line.event(event)
        await stay(line)

    async with scripted(first, second) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        told, kinds = ToldItems(), []
        async for event in answer:
            kinds.append(event.type)
            told.take({**event.model_dump(mode="json"), "sequence_number": 1})
        end = await answer.done()
    assert kinds.count("response.in_progress") == 1
    assert (answer.reasoning, answer.text) == ("Hm, so.", "I look it up.")
    assert [item.type for item in answer.items] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert [(each.name, each.arguments) for each in answer.calls] == [
        ("weather", '{"city": "Paris"}'),
        ("clock", "{}"),
    ]
    assert answer.items == end.output
    assert told.items == [item.model_dump(mode="json") for item in end.output]


async def test_items_and_parts_of_a_later_version_are_passed_over() -> None:
    """They are counted, and what follows them is read."""

    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        *log, end = answer_of([(TEXT, "Found.")], UUID(response_id))
        search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
        await line.event(log[0])
        for number, kind in enumerate(("added", "done"), 2):
            await line.send(
                f"response.output_item.{kind}",
                sequence_number=number,
                response_id=response_id,
                output_index=1,
                item=search,
            )
        await line.send(
            "response.web_search_call.completed",
            sequence_number=4,
            response_id=response_id,
            output_index=1,
        )
        for number, event in enumerate(log[1:], 5):
            await line.event(event.model_copy(update={"sequence_number": number}))
        shown = end.model_dump(mode="json")["response"]
        shown["output"].append(search)
        await line.event(end.model_copy(update={"sequence_number": 4 + len(log)}), response=shown)
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        text, kinds = await read(answer)
        assert (text, answer.text) == ("Found.", "Found.")
        assert kinds.count("response.in_progress") == 1
        assert [item.type for item in answer.items] == ["message"]


async def test_a_text_without_its_item_begins_anew_in_the_end() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.event(answer_of([], UUID(response_id))[0])
        await line.delta(response_id, 2, "lost", 0)
        await line.done(response_id, 3, "lost and found")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        assert (await read(answer))[0] == answer.text == "lost and found"


async def test_newer_events_and_fields_are_ignored() -> None:
    async def script(line: Line) -> None:
        await line.greet(more="than known")
        response_id = await line.accept()
        await line.send("response.sparkle", response_id=response_id)
        await line.done(response_id, 1, "", sparkle=True)
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        assert (await (await chat.ask("?")).done()).status == "completed"


async def test_an_api_key_needs_no_session() -> None:
    async def script(line: Line) -> None:
        assert line.socket.request is not None
        assert line.socket.request.headers["Authorization"] == "Bearer cs-1"
        await line.greet(session_token=None)
        line.cut()

    async def again(line: Line) -> None:
        await line.greet(session_token=None)
        await line.accept()
        await stay(line)

    async with scripted(script, again) as server, ChatClient(server.url, "cs-1") as chat:
        await chat.ask("?")


async def test_a_token_that_is_not_valid_any_more_loses_what_was_open() -> None:
    async def first(line: Line) -> None:
        await line.greet()
        await line.accept()
        line.cut()

    async def second(line: Line) -> None:
        await line.greet(session_token="token-2")
        resume = await line.heard("chatstream:session")
        await line.error("forbidden", resume, param="session_token")
        resume = await line.heard("chatstream:resume")
        await line.error("forbidden", resume, response_id=resume["response_id"])
        await line.accept()
        await stay(line)

    async with scripted(first, second) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        with pytest.raises(ChatError) as lost:
            await answer.done()
        assert lost.value.code == "forbidden"
        assert lost.value.response_id == answer.id
        await chat.ask("as somebody new")
        assert chat.session_token == "token-2"


async def test_it_gives_up_and_can_begin_again() -> None:
    async def first(line: Line) -> None:
        await line.greet()
        await line.accept()
        line.cut()

    async def away(line: Line) -> None:
        line.cut()

    async def back(line: Line) -> None:
        await line.resumed()
        await line.accept()
        await stay(line)

    async with (
        scripted(first, away, back) as server,
        ChatClient(server.url, retry_seconds=0) as chat,
    ):
        answer = await chat.ask("?")
        with pytest.raises(ChatError) as lost:
            await answer.done()
        assert lost.value.code == "unreachable"
        await chat.ask("??")


async def test_large_frames_both_ways() -> None:
    text = "é" * 3_000_000

    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.done(response_id, 1, text)
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        assert (await read(answer))[0] == text
        with pytest.raises(ChatError) as too_long:
            await chat.ask("x" * 2**20)
        assert too_long.value.code == "input_too_long"
        with pytest.raises(ChatError) as wrong:
            await chat.ask("\ud800")
        assert wrong.value.code == "invalid_event"
        with pytest.raises(ChatError) as hot:
            await chat.ask("?", temperature=-1)
        assert hot.value.param == "params.temperature"
        assert server.connections == 1


async def test_a_frame_that_a_proxy_finds_too_large_is_not_sent_for_ever() -> None:
    async def small(line: Line) -> None:
        await line.greet()
        await line.heard("response.create")
        await line.socket.close(1009)

    async def then(line: Line) -> None:
        await line.resumed()
        await stay(line)

    async with scripted(small, then) as server, ChatClient(server.url) as chat:
        with pytest.raises(ChatError) as too_long:
            await chat.ask("x" * 10_000)
        assert too_long.value.code == "input_too_long"


async def test_a_slow_reader_holds_up_nobody_and_loses_nothing() -> None:
    words = [f"w{number} " for number in range(5000)]

    async def script(line: Line) -> None:
        await line.greet()
        slow = await line.accept()
        quick = await line.accept()
        await line.begin(slow)
        offset = 0
        for number, word in enumerate(words):
            await line.delta(slow, number + 4, word, offset)
            offset += len(word)
        await line.done(slow, len(words) + 4, "".join(words))
        await line.done(quick, 1, "")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        slow = await chat.ask("slow")
        quick = await chat.ask("quick")
        await quick.done()
        await slow.done()
        text, kinds = await read(slow)
        assert text == "".join(words)
        assert len(kinds) < 300


async def test_a_reader_may_leave_and_come_back() -> None:
    go_on = asyncio.Event()

    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        await go_on.wait()
        await line.done(response_id, 4, "all")
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.ask("?")
        waiting = asyncio.create_task(answer.done())
        reading = asyncio.create_task(read(answer))
        await outlast(0.05, "the beginning of both")
        waiting.cancel()
        reading.cancel()
        await asyncio.wait([waiting, reading])
        go_on.set()  # no `response.cancel` came: the script would have heard it as a fault
        await answer.done()
        assert answer.text == "all"
        assert (await read(answer))[0] == "all"


async def test_a_prompt_nobody_waits_for_any_more_is_withdrawn() -> None:
    asked = asyncio.Event()
    ids: list[str] = []

    async def script(line: Line) -> None:
        await line.greet()
        ids.append((await line.heard("response.create"))["response_id"])
        asked.set()
        assert (await line.heard("response.cancel"))["response_id"] == ids[0]
        line.cut()

    async def again(line: Line) -> None:
        await line.resumed()
        cancel = await line.heard("response.cancel")  # and no create
        await line.error("not_found", cancel, response_id=ids[0])
        await line.accept()
        await stay(line)

    async with scripted(script, again) as server, ChatClient(server.url) as chat:
        asking = asyncio.create_task(chat.ask("?"))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await chat.ask("another one")


async def test_the_same_id_is_the_same_answer() -> None:
    async with scripted(plainly) as server, ChatClient(server.url) as chat:
        response_id = uuid4()
        first, second = await asyncio.gather(
            chat.ask("?", response_id=response_id), chat.ask("?", response_id=response_id)
        )
        assert first is second


async def test_an_earlier_answer_is_taken_up() -> None:
    response_id = uuid4()

    async def script(line: Line) -> None:
        await line.greet()
        resume = await line.heard("chatstream:resume")
        assert resume["starting_after"] == 0
        await line.begin(str(response_id))
        await line.delta(str(response_id), 4, "long ago", 0)
        await line.done(str(response_id), 5, "long ago")
        resume = await line.heard("chatstream:resume")
        await line.error("not_found", resume)
        await stay(line)

    async with scripted(script) as server, ChatClient(server.url) as chat:
        answer = await chat.resume(response_id)
        assert (await read(answer))[0] == "long ago"
        with pytest.raises(ChatError) as unknown:
            await chat.resume(uuid4())
        assert unknown.value.code == "not_found"


async def test_closing_ends_those_who_wait() -> None:
    async def script(line: Line) -> None:
        await line.greet()
        await line.accept()
        await stay(line)

    async with scripted(script) as server:
        async with ChatClient(server.url) as chat:
            answer = await chat.ask("?")
        with pytest.raises(ChatError) as closed:
            await answer.done()
        assert closed.value.code == "closed"
        await chat.close()


def test_failed_is_a_result_and_not_an_exception() -> None:
    async def main() -> ResponseResource:
        async def script(line: Line) -> None:
            await line.greet()
            error = ("engine_error", "No.")
            await line.done(await line.accept(), 1, "", status="failed", error=error)
            await stay(line)

        async with scripted(script) as server, ChatClient(server.url) as chat:
            return await (await chat.ask("?")).done()

    end = asyncio.run(main())
    assert end.status == "failed"
    assert end.error is not None
    assert end.error.code == "engine_error"


def test_the_client_needs_no_django_and_its_waits_grow() -> None:
    source = """
from streaming.client.persistent_link import backoff
waits = [backoff(tries) for tries in range(60)]
assert 0.125 <= waits[0] <= 0.25
assert 5 <= waits[-1] <= 10
assert len({backoff(8) for _ in range(10)}) > 1
import sys
assert not any(name.split(".")[0] in ("django", "channels", "torch") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=True, timeout=60)


async def test_a_server_that_says_nothing_any_more_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line is there, as behind a proxy that forwards no more, and answers WebSocket's pings."""
    monkeypatch.setattr(link_module, "QUIET_SECONDS", 0.1)
    pings: list[str] = []

    async def falls_silent(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        for _ in range(2):
            pings.append((await line.heard("chatstream:ping"))["type"])
        await stay(line)

    async def goes_on(line: Line) -> None:
        await line.resumed()
        resume = await line.heard("chatstream:resume")
        await line.done(resume["response_id"], 2, "")
        await stay(line)

    connected: list[bool] = []
    async with (
        scripted(falls_silent, goes_on) as server,
        ChatClient(server.url, on_connection=connected.append) as chat,
    ):
        answer = await chat.ask("hello")
        assert (await asyncio.wait_for(answer.done(), PATIENCE)).status == "completed"
        assert connected == [True, False, True]
    assert len(pings) == 2


async def test_a_quiet_server_that_answers_pings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one answers that it knows no such event: it is there, too."""
    monkeypatch.setattr(link_module, "QUIET_SECONDS", 0.05)

    async def waits(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        for number in range(6):
            await line.heard("chatstream:ping")
            if number % 2:
                await line.send("chatstream:pong")
            else:
                await line.error("invalid_event")
        await line.begin(response_id)
        await line.done(response_id, 4, "")
        await stay(line)

    connected: list[bool] = []
    async with (
        scripted(waits) as server,
        ChatClient(server.url, on_connection=connected.append) as chat,
    ):
        answer = await chat.ask("hello")
        assert (await asyncio.wait_for(answer.done(), PATIENCE)).status == "completed"
        assert connected == [True]
