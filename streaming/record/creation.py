"""Writing a prompt and its response, before the waiting list knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models.expressions import Combinable

from streaming import conf
from streaming.engine.base import ChatMessage
from streaming.models import OPEN, Conversation, Message, Response, Status
from streaming.record import following, instructions
from streaming.record.attachments import titled_by
from streaming.record.conversations import (
    insert_chain,
    newest_first,
    next_ordinal,
    title_of,
    touch,
)
from streaming.record.database import in_database
from streaming.record.errors import (
    NotFound,
    NothingToAnswer,
    NothingToContinue,
    NotOwner,
    OtherConversation,
    StillOpen,
    Subject,
)
from streaming.record.histories import answer_of
from streaming.record.lookups import find
from streaming.record.tasks import (
    Continuation,
    History,
    Items,
    Prompt,
    Regeneration,
    Requester,
    Task,
)


@in_database
def create(
    task: Task,
    *,
    params: Mapping[str, Any],
    requester: Requester,
    response_id: UUID | None = None,
) -> tuple[Response, bool]:
    """Write prompt and response (`accepting`); return (the row, False) if the id is known already.

    Instructions that the task gives become the conversation's; the row's `conversation` still has
    the former ones, for `deletion.discard`.

    Raises NotOwner for another owner's id, NotFound for a conversation or an earlier response that
    is not the owner's, and OtherConversation, StillOpen or NothingToContinue for an earlier
    response that does not fit; for items also what `following.place` and `following.check_calls`
    raise.
    """
    try:
        with transaction.atomic():
            is_known_to_be_new = isinstance(task, History | Items)
            may_be_known = response_id is not None and not is_known_to_be_new
            if may_be_known and (known := find(str(response_id))):
                return _own(known, requester), False
            turn = _turn(task, requester)
            ordinal: int | Combinable = 1
            if not task.begins_conversation:
                touch(turn.conversation)
                ordinal = next_ordinal(turn.conversation)
            response = Response.objects.create(
                id=response_id or uuid4(),
                ordinal=ordinal,
                conversation=turn.conversation,
                previous=turn.previous,
                prompt_id=turn.prompt_id,
                continues=turn.continues,
                owner=requester.owner,
                address=requester.address,
                params={**params, "raw": True} if turn.is_raw else params,
                instructions=_instructions(task, turn, requester),
                in_session=requester.in_session,
                **_kept(task, turn),
            )
            return response, True
    except IntegrityError:
        # The same id arrived on another connection between our look and our insert.
        if response_id is None or (known := find(response_id)) is None:
            raise
        return _own(known, requester), False


@dataclass(frozen=True, slots=True)
class _Turn:
    """Where a new response stands in its conversation. `again`: a program's response that is
    answered once more, with what its request said. `is_raw`: it answers once more, or goes on
    with, what was a bare text (`params` of it say `raw`), and no turn of a conversation."""

    conversation: Conversation
    prompt_id: UUID
    previous: Response | None = None
    continues: Response | None = None
    is_raw: bool = False
    again: Response | None = None


def _turn(task: Task, requester: Requester) -> _Turn:
    match task:
        case Prompt():
            return _new_prompt(task, requester)
        case Regeneration():
            earlier = _ended(task, requester.owner, Subject.REGENERATED)
            place = earlier.conversation, earlier.prompt_id, earlier.previous
            again = None if earlier.request is None else earlier
            return _Turn(*place, is_raw=_is_raw(earlier), again=again)
        case Continuation():
            earlier = _ended(task, requester.owner, Subject.CONTINUED)
            if earlier.status == Status.COMPLETED or earlier.message is None:
                raise NothingToContinue(Subject.CONTINUED)
            place = earlier.conversation, earlier.prompt_id, earlier.previous
            return _Turn(*place, earlier, is_raw=_is_raw(earlier))
        case History():
            return _new_history(task, requester)
        case Items():
            return _new_items(task, requester)


def _is_raw(earlier: Response) -> bool:
    return bool(earlier.params.get("raw"))


def _instructions(task: Task, turn: _Turn, requester: Requester) -> str:
    """Return the instructions of a new response: those of the answer that it goes on with, none
    beside a program's own messages, else those that hold now."""
    match task:
        case Continuation():
            return turn.continues.instructions if turn.continues else ""
        case History():
            return ""
        case Items():
            is_chat = turn.conversation.source == Conversation.Source.CHAT
            operator = conf.get().instructions if is_chat else ""
            return instructions.joined(operator, task.instructions)
        case Regeneration(instructions=None) if turn.again:
            return turn.again.instructions
        case Prompt() | Regeneration():
            return instructions.for_new(turn.conversation, task.instructions, requester.user)


def _new_prompt(task: Prompt, requester: Requester) -> _Turn:
    conversation, previous = _place(task, requester)
    prompt = Message.objects.create(
        conversation=conversation,
        role=Message.Role.USER,
        content=task.text,
        parts=list(task.parts) or None,
        parent=answer_of(previous),
    )
    return _Turn(conversation, prompt.pk, previous)


def _new_history(task: History, requester: Requester) -> _Turn:
    conversation = _program_conversation(task.messages, requester)
    return _Turn(conversation, insert_chain(conversation, task.messages))


def _new_items(task: Items, requester: Requester) -> _Turn:
    place = following.place(task, requester.owner)
    following.check_calls(task.messages, place.newest)
    conversation = place.conversation or _program_conversation(task.messages, requester)
    newest = place.newest
    if task.messages:
        prompt = insert_chain(conversation, task.messages, newest.pk if newest else None)
    elif newest is not None and following.is_to_answer(newest):
        prompt = newest.pk
    else:
        raise NothingToAnswer(Subject.CONVERSATION)
    return _Turn(conversation, prompt, place.previous)


def _program_conversation(messages: Sequence[ChatMessage], requester: Requester) -> Conversation:
    users = (turn for turn in reversed(messages) if turn.role == "user")
    asked = (titled_by(turn.content, turn.parts) for turn in users)
    return Conversation.objects.create(
        owner=requester.owner,
        user=requester.user,
        title=title_of(next(asked, messages[-1].content if messages else "")),
        source=Conversation.Source.API,
    )


def _kept(task: Task, turn: _Turn) -> dict[str, Any]:
    """Return the columns that only a response of items has."""
    if again := turn.again:
        names = ("request", "stored", "background")
        return {name: getattr(again, name) for name in names}
    if not isinstance(task, Items):
        return {}
    return {
        "request": dict(task.request) or None,
        "stored": task.stored,
        "background": task.background,
    }


def _place(task: Prompt, requester: Requester) -> tuple[Conversation, Response | None]:
    """Return the conversation of a new prompt, and the response that it follows."""
    owner = requester.owner
    if task.previous_id:
        previous = _earlier(task.previous_id, owner, task.conversation_id, Subject.PREVIOUS)
        return previous.conversation, previous
    if task.conversation_id is None:
        title = title_of(titled_by(task.text, task.parts))
        begun = Conversation.objects.create(owner=owner, user=requester.user, title=title)
        return begun, None
    conversation = Conversation.objects.filter(pk=task.conversation_id, owner=owner).first()
    if conversation is None:
        raise NotFound(Subject.CONVERSATION)
    return conversation, newest_first(conversation).first() if task.follows_newest else None


def _ended(task: Regeneration | Continuation, owner: str, subject: Subject) -> Response:
    """Return the ended response that a task refers to."""
    earlier = _earlier(task.earlier_id, owner, task.conversation_id, subject)
    if earlier.status in OPEN:
        raise StillOpen(subject)
    return earlier


def _earlier(
    response_id: UUID, owner: str, conversation_id: UUID | None, subject: Subject
) -> Response:
    """Return a response of the owner's own that a new one refers to."""
    related = ("conversation", "message", "previous")
    response = Response.objects.select_related(*related).filter(pk=response_id).first()
    if response is None or response.owner != owner:
        raise NotFound(subject)
    if conversation_id not in (None, response.conversation_id):
        raise OtherConversation(subject)
    return response


def _own(response: Response, requester: Requester) -> Response:
    if response.owner != requester.owner:
        raise NotOwner
    return response
