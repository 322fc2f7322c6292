"""Thoughts on their way from an engine to readers and into the record, apart from the text."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from streaming.engine.base import ChatMessage, Thinking
from streaming.lifecycle import ending
from streaming.models import Conversation, Message, Response
from streaming.pages import turns
from streaming.record import lookups
from tests.integration.conftest import ChatClient
from tests.support.endings import usage
from tests.support.fake_engine import FakeEngine, thoughts, words
from tests.support.told_items import ToldItems

pytestmark = pytest.mark.django_db(transaction=True)

THOUGHT, TEXT = "response.reasoning_text.delta", "response.output_text.delta"


class Recording(FakeEngine):
    """Keeps what it was asked."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.requests: list[Any] = []

    def submit(self, request: Any) -> None:
        self.requests.append(request)
        super().submit(request)


def said(events: list[dict[str, Any]], response_id: str) -> tuple[str, str]:
    """The thought and the text of deltas, each delta where it says that it stands."""
    parts = {THOUGHT: "", TEXT: ""}
    for event in events:
        if event.get("response_id") == response_id and event["type"] in parts:
            assert event["chatstream"]["offset"] == len(parts[event["type"]])
            parts[event["type"]] += event["delta"]
    return parts[THOUGHT], parts[TEXT]


def reasoning_tokens(done: dict[str, Any]) -> int:
    return int(done["usage"]["output_tokens_details"]["reasoning_tokens"])


async def test_a_thought_and_its_answer(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(thinks=True))
    chat: ChatClient = await client()
    assert chat.received[0]["thinks"] is True
    asked = await chat.ask("think 6 stop 4")
    done = await chat.end()
    assert (done["reasoning"], done["text"]) == (thoughts(6), "".join(words(4)))
    assert said(chat.received, asked["response_id"]) == (done["reasoning"], done["text"])
    numbers = [each["sequence_number"] for each in chat.numbered()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert done["usage"] == usage(1, 10, 6)
    assert [item["type"] for item in done["items"]] == ["reasoning", "message"]
    told = ToldItems()
    for event in chat.numbered():
        told.take(event)
    assert (told.thought, told.text) == (done["reasoning"], done["text"])
    last = [each for each in chat.received if each["type"] == THOUGHT][-1]
    assert 0 < last["chatstream"]["reasoning_ms"] <= done["timings"]["reasoning_ms"]
    assert done["timings"]["reasoning_ms"] < done["timings"]["total_ms"]
    row = await lookups.get(done["response_id"])
    assert row is not None
    assert (row.reasoning, row.reasoning_tokens) == (thoughts(6), 6)
    message = await Message.objects.aget(pk=row.message_id)
    assert (message.content, message.reasoning) == (done["text"], done["reasoning"])


async def test_a_thought_is_kept_that_no_worker_ends(
    layer: Any, start_worker: Any, client: Any
) -> None:
    """Its workers were lost, or it is cancelled between them."""
    await start_worker(FakeEngine(step_seconds=0.02))
    chat: ChatClient = await client()
    asked = await chat.ask("think 500")
    await chat.until(THOUGHT)
    await ending.fail_exhausted(layer, asked["response_id"])
    done = await chat.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "worker_lost")
    assert done["reasoning"]
    assert thoughts(500).startswith(done["reasoning"])
    assert done["timings"]["reasoning_ms"] is not None
    row = await Response.objects.select_related("message").aget(pk=asked["response_id"])
    assert row.message is not None
    assert (row.message.content, row.message.reasoning) == ("", done["reasoning"])


async def test_a_list_that_lost_its_memory_keeps_neither_thought_nor_text(
    layer: Any, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine(step_seconds=0.02))
    chat: ChatClient = await client()
    asked = await chat.ask("think 30 stop 30")
    await chat.until(THOUGHT)
    layer.waiting_list.forget()
    await chat.until("response.in_progress")
    done = await chat.end(response_id=asked["response_id"])
    assert (done["reasoning"], done["text"]) == (thoughts(30), "".join(words(30)))
    begun = [at for at, e in enumerate(chat.received) if e["type"] == "response.in_progress"]
    assert said(chat.received[begun[-1] :], asked["response_id"]) == (
        done["reasoning"],
        done["text"],
    )


async def test_the_page_has_what_was_thought(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.02))
    chat: ChatClient = await client()
    asked = await chat.ask("think 60 stop 2")
    await chat.until(THOUGHT)
    await chat.send("response.cancel", response_id=asked["response_id"])
    cut = await chat.end()
    await chat.send("response.create", continues=asked["response_id"])
    rest = await chat.end()
    conversation = await Conversation.objects.aget(pk=asked["conversation_id"])
    (turn,) = (await sync_to_async(turns.window)(conversation)).turns
    assert (turn.reasoning, turn.details["text"]) == (thoughts(60), "w0 w1 ")
    assert "t59 " not in str(turn.details)  # it is on the page once, however long it is
    assert sum(reasoning_tokens(each) for each in (cut, rest)) == 60
    assert turn.details["done"]["usage"]["output_tokens"] == 62
    assert turn.details["reasoning_ms"] == sum(
        each["timings"]["reasoning_ms"] for each in (cut, rest)
    )
    await chat.send("response.create", continues=asked["response_id"])
    await chat.until(THOUGHT)  # it is open, and goes on with what was thought until the cut
    (turn,) = (await sync_to_async(turns.window)(conversation)).turns
    assert turn.is_open
    assert turn.reasoning == cut["reasoning"]
    assert turn.details["reasoning_ms"] == cut["timings"]["reasoning_ms"]


async def test_what_a_socket_asks_for_reaches_the_engine(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    chatstream(thinking="low", max_reasoning_tokens=9)
    engine = Recording(thinks=True)
    await start_worker(engine)
    chat: ChatClient = await client()
    await chat.ask("think 20 stop 1")
    done = await chat.end()
    assert done["reasoning"] == thoughts(9)  # its bound; the answer has its own
    await chat.ask("think 20 stop 1", params={"enable_thinking": False})
    done = await chat.end()
    assert (done["reasoning"], done["text"]) == ("", "w0 ")
    assert [request.thinking for request in engine.requests] == [
        Thinking("low", max_tokens=9),
        Thinking("off", {"enable_thinking": False}, 9),
    ]
    await chat.send("response.create", input="x", params={"chat_template_kwargs": {"tools": []}})
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("invalid_event", "params.chat_template_kwargs")


async def test_an_answer_without_a_thought_has_none(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    await chat.ask("stop 2")
    done = await chat.end()
    assert (done["reasoning"], done["timings"]["reasoning_ms"]) == ("", None)
    assert reasoning_tokens(done) == 0


async def test_a_thought_is_resumed_in_its_midst(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.03))
    first: ChatClient = await client()
    token = first.received[0]["session_token"]
    asked = await first.ask("think 30 stop 5")
    seen = await first.until(THOUGHT)
    await first.leave()
    second: ChatClient = await client()
    await second.send("chatstream:session", session_token=token)
    await second.until("chatstream:session")
    after, response_id = seen["sequence_number"], asked["response_id"]
    await second.send("chatstream:resume", response_id=response_id, starting_after=after)
    done = await second.end()
    events = [*first.received, *second.received]
    assert said(events, response_id) == (thoughts(30), "".join(words(5)))
    assert done["reasoning"] == thoughts(30)


async def test_what_was_thought_until_the_cancel_is_kept_and_gone_on_with(
    start_worker: Any, client: Any
) -> None:
    engine = Recording(step_seconds=0.02)
    await start_worker(engine)
    chat: ChatClient = await client()
    asked = await chat.ask("think 40 stop 3")
    await chat.until(THOUGHT)
    await chat.send("response.cancel", response_id=asked["response_id"])
    cut = await chat.end()
    assert (cut["status"], cut["text"]) == ("cancelled", "")
    assert thoughts(40).startswith(cut["reasoning"])
    assert cut["reasoning"]
    await chat.send("response.create", continues=asked["response_id"])
    rest = await chat.end()
    assert cut["reasoning"] + rest["reasoning"] == thoughts(40)
    assert rest["text"] == "".join(words(3))
    assert engine.requests[1].messages[-1] == ChatMessage(
        "assistant", "", reasoning=cut["reasoning"]
    )
    row = await Response.objects.select_related("message").aget(pk=rest["response_id"])
    assert row.message is not None
    assert (row.message.content, row.message.reasoning) == (rest["text"], thoughts(40))


async def test_an_answer_that_was_cut_after_its_thought_goes_on_after_it(
    start_worker: Any, client: Any
) -> None:
    engine = Recording()
    await start_worker(engine)
    chat: ChatClient = await client()
    asked = await chat.ask("think 3", params={"max_tokens": 2})
    cut = await chat.end()
    assert (cut["status"], cut["text"]) == ("incomplete", "w0 w1 ")
    await chat.send("response.create", continues=asked["response_id"], params={"max_tokens": 1})
    await chat.end()
    assert engine.requests[1].messages[-1] == ChatMessage(
        "assistant", "w0 w1 ", reasoning=thoughts(3)
    )
    await chat.ask("stop 1", conversation_id=asked["conversation_id"])
    await chat.end()
    assert engine.requests[2].messages[:-1] == (
        ChatMessage("user", "think 3"),
        ChatMessage("assistant", "w0 w1 w0 ", reasoning=thoughts(3)),
    )


async def test_a_thought_alone_is_no_turn_that_a_prompt_follows(
    start_worker: Any, client: Any
) -> None:
    engine = Recording(step_seconds=0.02)
    await start_worker(engine)
    chat: ChatClient = await client()
    first = await chat.ask("stop 1")
    await chat.end()
    place = {"conversation_id": first["conversation_id"]}
    asked = await chat.ask("think 500", **place)
    await chat.until(THOUGHT)
    waits = await chat.ask("stop 2", **place)  # its parent is known only when that has ended
    await chat.send("response.cancel", response_id=asked["response_id"])
    await chat.end(response_id=waits["response_id"])
    await chat.ask("stop 3", previous_response_id=asked["response_id"])
    await chat.end()
    begun = (ChatMessage("user", "stop 1"), ChatMessage("assistant", "w0 "))
    assert engine.requests[2].messages == (*begun, ChatMessage("user", "stop 2"))
    assert engine.requests[3].messages == (*begun, ChatMessage("user", "stop 3"))


async def test_an_answer_that_is_cut_after_a_thought_is_no_measure_of_whole_ones(
    layer: Any, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine(thinks=True))
    chat: ChatClient = await client()
    await chat.ask("think 3", params={"max_tokens": 2})
    await chat.end()
    await chat.ask("think 3 stop 2", params={"max_tokens": 9})
    await chat.end()
    recent = (await layer.waiting_list.load()).recent
    assert [(tokens, limit) for tokens, _, limit in recent] == [(5, 5), (5, 2048 + 9)]
