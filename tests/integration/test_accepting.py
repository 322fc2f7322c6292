"""One function accepts, whoever asks: its reader hears of a response before and after its place."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from streaming.engine.base import ChatMessage
from streaming.lifecycle import accepting
from streaming.models import Conversation, Message, Response, Status
from streaming.record.errors import NotFound, NotOwner
from streaming.record.tasks import History, Prompt, Regeneration, Requester, Task
from streaming.waiting_list.interface import Place, QueueFull, State, WorkerBeat, WorkerState

pytestmark = pytest.mark.django_db(transaction=True)

PARAMS = {"max_tokens": 5, "seed": 1, "stop": []}
ADA = Requester("visitor:a", None, "")
MESSAGES = History((ChatMessage("system", "Be brief."), ChatMessage("user", "hello")))


class NotingReader:
    """Notes what it is told, and where the list has the response at that moment."""

    def __init__(self, layer: Any, *, wants: bool = True) -> None:
        self.layer, self.wants = layer, wants
        self.told: list[tuple[str, State]] = []

    async def where(self, row: Response) -> State:
        place: Place = await self.layer.waiting_list.place(str(row.pk))
        return place.state

    async def expect(self, row: Response) -> bool:
        self.told.append(("expect", await self.where(row)))
        return self.wants

    async def placed(self, row: Response, place: Place) -> None:
        self.told.append(("placed", await self.where(row)))


async def accept(
    layer: Any, task: Task, reader: NotingReader, asker: Requester = ADA, pk: UUID | None = None
) -> Response:
    return await accepting.accept(
        layer, task, params=PARAMS, requester=asker, reader=reader, response_id=pk
    )


@pytest.fixture
async def worker(layer: Any) -> None:
    """One that serves, and claims nothing."""
    beat = WorkerBeat("w1", 1, WorkerState.READY, 60.0, {"model": "m"})
    await layer.waiting_list.heartbeat(beat)


@pytest.mark.parametrize("task", [Prompt("hello"), MESSAGES])
async def test_a_reader_expects_events_before_the_place_and_is_told_it(
    layer: Any, worker: None, task: Task
) -> None:
    reader = NotingReader(layer)
    row = await accept(layer, task, reader, pk=uuid4())
    assert reader.told == [("expect", State.UNKNOWN), ("placed", State.WAITING)]
    assert (await Response.objects.aget(pk=row.pk)).status == Status.QUEUED


@pytest.mark.parametrize("task", [Prompt("hello"), MESSAGES])
async def test_nothing_is_left_of_what_has_no_place(
    layer: Any, worker: None, monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    async def refuse(*args: Any) -> Place:
        raise QueueFull("Everything is full.")

    monkeypatch.setattr(layer.waiting_list, "enqueue", refuse)
    reader = NotingReader(layer)
    with pytest.raises(QueueFull):
        await accept(layer, task, reader, pk=uuid4())
    assert reader.told == [("expect", State.UNKNOWN)]
    for table in (Response, Message, Conversation):
        assert not await table.objects.aexists()


async def test_a_refused_prompt_leaves_what_a_program_said_before(
    layer: Any, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await accept(layer, MESSAGES, NotingReader(layer), pk=uuid4())

    async def refuse(*args: Any) -> Place:
        raise QueueFull("Everything is full.")

    monkeypatch.setattr(layer.waiting_list, "enqueue", refuse)
    for task in (Prompt("more", said.conversation_id), Prompt("more", previous_id=said.pk)):
        with pytest.raises(QueueFull):
            await accept(layer, task, NotingReader(layer), pk=uuid4())
    assert [row.pk async for row in Response.objects.all()] == [said.pk]
    assert await Message.objects.acount() == len(MESSAGES.messages)


async def test_a_reader_that_sees_it_already_is_told_nothing(layer: Any, worker: None) -> None:
    pk = uuid4()
    await accept(layer, Prompt("hello"), NotingReader(layer), pk=pk)
    again = NotingReader(layer, wants=False)
    await accept(layer, Prompt("hello"), again, pk=pk)
    assert again.told == [("expect", State.WAITING)]


async def test_who_names_what_is_not_theirs_is_refused(layer: Any, worker: None) -> None:
    row = await accept(layer, Prompt("hello"), NotingReader(layer))
    bob = Requester("visitor:b", None, "")
    with pytest.raises(NotOwner):
        await accept(layer, Prompt("hello"), NotingReader(layer), bob, row.pk)
    with pytest.raises(NotFound):
        await accept(layer, Regeneration(row.pk), NotingReader(layer), bob)
    with pytest.raises(NotOwner):
        await accepting.resume(layer, row.pk, bob.owner, NotingReader(layer))
    with pytest.raises(NotFound):
        await accepting.resume(layer, uuid4(), bob.owner, NotingReader(layer))
