"""Where the messages of a program's request go on, and whether the calls in them belong there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming.engine.base import ChatMessage
from streaming.models import OPEN, Conversation, Message, Response, Status
from streaming.record.chain import keys_to
from streaming.record.conversations import newest_first, touch
from streaming.record.errors import (
    NotFound,
    StillOpen,
    Subject,
    UnansweredCall,
    UnknownCall,
)
from streaming.record.tasks import Items

_ADDED = (Status.COMPLETED, Status.INCOMPLETE)
"""Responses whose answers a conversation goes on with; what failed or was cancelled leaves none."""


@dataclass(frozen=True, slots=True)
class Place:
    """The conversation that is gone on with, its last turn, and the response that it belongs to;
    None each for a new conversation."""

    conversation: Conversation | None = None
    newest: Message | None = None
    previous: Response | None = None


def place(task: Items, owner: str) -> Place:
    """Return where a task goes on. Raises NotFound, and StillOpen for what is still answered."""
    if task.previous_id:
        return _after_response(task, owner)
    if task.conversation_id is None:
        return Place()
    conversation = Conversation.objects.filter(pk=task.conversation_id, owner=owner).first()
    if conversation is None:
        raise NotFound(Subject.CONVERSATION)
    touch(conversation)  # which locks it: a second request finds the first one's response
    conversation.refresh_from_db(fields=["tail"])
    if conversation.responses.filter(status__in=OPEN).exists():
        raise StillOpen(Subject.CONVERSATION)
    return end_of(conversation)


def end_of(conversation: Conversation) -> Place:
    """Return the end of a conversation without an open response: its `tail`, or the newest answer
    if that follows it: the page goes on with a conversation without moving its tail."""
    answered = newest_first(conversation).filter(status__in=_ADDED, message__isnull=False)
    previous = answered.select_related("message").first()
    tail, answer = conversation.tail, previous.message if previous else None
    if tail is None or (answer is not None and tail.pk in keys_to(answer)):
        return Place(conversation, answer, previous)
    return Place(conversation, tail, previous)


def _after_response(task: Items, owner: str) -> Place:
    related = ("conversation", "message", "prompt")
    assert task.previous_id
    found = Response.objects.select_related(*related).filter(pk=task.previous_id).first()
    previous = found if found and found.owner == owner else None
    if previous is None or not (previous.stored or task.follows_unstored):
        raise NotFound(Subject.PREVIOUS)
    if previous.status in OPEN:
        raise StillOpen(Subject.PREVIOUS)
    return Place(previous.conversation, last_turn(previous), previous)


def last_turn(response: Response) -> Message:
    """Return the turn that an ended response ends with: its answer, else what was asked."""
    message = response.message
    if message is not None and (message.content or _calls(message) or _refusal(message)):
        return message
    return response.prompt


def is_to_answer(message: Message) -> bool:
    """Return whether a turn is one that a model answers."""
    return message.role in (Message.Role.USER, Message.Role.TOOL)


def keep_tail(response: Response) -> None:
    """Let a conversation that a request named go on after its answer."""
    if response.status in _ADDED and (response.request or {}).get("conversation"):
        found = Conversation.objects.filter(pk=response.conversation_id)
        found.update(tail_id=response.message_id)


def check_calls(messages: Sequence[ChatMessage], newest: Message | None) -> None:
    """Raise UnknownCall for the result of a call that no turn before it makes, and UnansweredCall
    for a call without a result. `newest` is the turn that the messages follow."""
    unanswered = open_calls(newest)
    for message in messages:
        if message.role == "tool":
            call_id = str(message.fields.get("tool_call_id", ""))
            if call_id not in unanswered:
                raise UnknownCall(call_id)
            unanswered.remove(call_id)
            continue
        if unanswered:
            raise UnansweredCall(unanswered[0])
        unanswered = [str(call["id"]) for call in message.fields.get("tool_calls", ())]
    if messages and unanswered:
        raise UnansweredCall(unanswered[0])


def open_calls(newest: Message | None) -> list[str]:
    """Return the ids of the calls that the turns up to `newest` end with, without those that are
    answered."""
    answered: set[str] = set()
    turn = newest
    while turn is not None and turn.role == Message.Role.TOOL:
        answered.add(str((turn.fields or {}).get("tool_call_id")))
        turn = turn.parent
    calls = [] if turn is None else _calls(turn)
    return [call for call in calls if call not in answered]


def _refusal(message: Message) -> str:
    return str((message.fields or {}).get("refusal", ""))


def _calls(message: Message) -> list[str]:
    return [str(call.get("id", "")) for call in (message.fields or {}).get("tool_calls", ())]
