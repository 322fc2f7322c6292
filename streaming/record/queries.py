"""The record's operations: every database read and write that a response's life needs.

Each is one short transaction, run in the database thread. A response ends in here first, by
an update that only an open row accepts: whoever comes second changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Case, CharField, F, Q, QuerySet, Subquery, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils import timezone

from streaming.engine.base import ChatMessage, Finished, FinishReason, SamplingParams
from streaming.models import OPEN, Conversation, Message, Response, Status
from streaming.protocol.events import (
    MOST_TOP_K,
    Params,
    ProtocolError,
    ResponseCreate,
)
from streaming.record.chain import chain_to
from streaming.record.database import in_database
from streaming.record.said import Said
from streaming.system.escaping import sentence

EMPTY: Mapping[UUID, str] = {}

_AT_ONCE = 200
"""So many rows are written by one statement."""

MOST_CHARS = 4_000_000
"""Of a history, where nobody says how much of it an engine may care for."""

STATUS_OF_REASON = {
    FinishReason.STOP: Status.COMPLETED,
    FinishReason.LENGTH: Status.INCOMPLETE,
    FinishReason.TOOL_CALLS: Status.COMPLETED,
    FinishReason.CANCELLED: Status.CANCELLED,
    FinishReason.ERROR: Status.FAILED,
}


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to generate: the turns, oldest first, without the `left_out` oldest ones,
    and the sampling parameters. `trims`: the oldest turns may be left out. `row` is for
    `end`."""

    row: Response
    messages: tuple[ChatMessage, ...]
    params: SamplingParams
    left_out: int = 0
    trims: bool = True


class Attempt(NamedTuple):
    """Who runs a response, and for which time."""

    worker: str
    attempt: int

    @classmethod
    def of(cls, row: Response) -> Attempt:
        """Return the one that a row names."""
        return cls(row.worker, row.attempt)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ends, with what was published of its answer."""

    status: Status
    finish_reason: str
    said: Said = field(default_factory=Said)
    error_code: str = ""
    error_message: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    trimmed_messages: int = 0
    first_token_at: datetime | None = None

    @classmethod
    def cancelled(cls, said: Said | None = None) -> Ending:
        """Return the end of what nobody wants any more."""
        return cls(Status.CANCELLED, FinishReason.CANCELLED, said or Said())

    @classmethod
    def failed(cls, code: str, message: str, said: Said | None = None) -> Ending:
        """Return the end of what cannot be answered."""
        return cls(Status.FAILED, FinishReason.ERROR, said or Said(), code, message)

    @classmethod
    def generated(
        cls,
        finished: Finished,
        said: Said,
        trimmed_messages: int = 0,
        first_token_at: datetime | None = None,
    ) -> Ending:
        """Return the end that an engine reported."""
        return cls(
            STATUS_OF_REASON[finished.reason],
            finished.reason,
            said,
            finished.error_code,
            finished.error_message,
            finished.prompt_tokens,
            finished.completion_tokens,
            finished.reasoning_tokens,
            trimmed_messages,
            first_token_at,
        )

    def fields(self) -> dict[str, Any]:
        """Return the columns that it writes."""
        return {
            "status": self.status,
            "finish_reason": self.finish_reason,
            **_answer(self.said),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "trimmed_messages": self.trimmed_messages,
            "error_code": self.error_code,
            "error_message": sentence(self.error_message),
            "first_token_at": self.first_token_at,
            "finished_at": timezone.now(),
        }


def resolve_params(params: Params, max_tokens: int) -> dict[str, Any]:
    """Every parameter concrete, as engines take it, the seed drawn now: a later attempt draws the
    same tokens. `max_tokens` is the most that the server allows."""
    given = {
        name: value
        for name in ("temperature", "top_p", "top_k", "repetition_penalty", "ignore_eos")
        if (value := getattr(params, name)) is not None
    }
    if given.get("top_p") == 0:  # nothing but the likeliest token
        given |= {"top_p": 1.0, "temperature": 0.0}
    if "top_k" in given:
        given["top_k"] = min(max(given["top_k"], 0), MOST_TOP_K)
    if params.truncation == "disabled":
        given["truncation"] = params.truncation
    wanted = params.max_tokens or -1
    seed = secrets.randbits(63) if params.seed in (None, -1) else params.seed & _SEED_BITS
    return {
        "max_tokens": min(wanted, max_tokens) if wanted > 0 else max_tokens,
        "seed": seed,
        "stop": params.stop,
        **given,
    }


_SEED_BITS = 2**63 - 1
"""Engines and databases keep so many; one below 0 is another one above."""


@in_database
def create(
    event: ResponseCreate,
    *,
    params: dict[str, Any],
    owner: str,
    user: User | None,
    address: str,
) -> tuple[Response, bool]:
    """Write prompt and response (`accepting`); (the row, False) if the id is known already.

    Raises ProtocolError: `forbidden` for another owner's id, `not_found` for a conversation
    or an earlier response that is not the owner's, `invalid_event` for one that does not fit.
    """
    try:
        with transaction.atomic():
            if event.response_id and (known := _row(event.response_id)):
                return _own(known, owner), False
            turn = _turn(event, owner, user)
            ordinal: int | Combinable = 1
            if not _begins_conversation(event):
                _touch(turn.conversation)
                ordinal = _next_ordinal(turn.conversation)
            response = Response.objects.create(
                id=event.response_id or uuid4(),
                ordinal=ordinal,
                conversation=turn.conversation,
                previous=turn.previous,
                prompt=turn.prompt,
                continues=turn.continues,
                owner=owner,
                address=address,
                params=params,
            )
            return response, True
    except IntegrityError:
        # The same id arrived on another connection between our look and our insert.
        known = _row(str(event.response_id))
        if known is None:
            raise
        return _own(known, owner), False


def _begins_conversation(event: ResponseCreate) -> bool:
    return event.input is not None and not (event.conversation_id or event.previous_response_id)


def _touch(conversation: Conversation) -> None:
    """Say that it was used, and lock it: what is used now is not pruned, what is gone is gone."""
    used = Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now())
    if not used:
        raise ProtocolError("not_found", "There is no such conversation.", "conversation_id")


def _next_ordinal(conversation: Conversation) -> Combinable:
    """The number of a conversation's next response, read as it is written: the conversation is
    locked. No clock says which is newer."""
    numbers = conversation.responses.order_by("-ordinal").values("ordinal")
    return Coalesce(Subquery(numbers[:1]), 0) + 1


def newest_first(conversation: Conversation) -> QuerySet[Response]:
    """A conversation's responses. (The clock decides only between those that a process of an
    earlier version wrote beside the migration.)"""
    return conversation.responses.order_by("-ordinal", "-created_at", "-pk")


@dataclass(frozen=True, slots=True)
class _Turn:
    """Where a new response stands in its conversation."""

    conversation: Conversation
    previous: Response | None
    prompt: Message
    continues: Response | None = None


def _turn(event: ResponseCreate, owner: str, user: User | None) -> _Turn:
    if event.input is not None:
        conversation, previous = _place(event, owner, user)
        prompt = Message.objects.create(
            conversation=conversation,
            role=Message.Role.USER,
            content=event.input,
            parent=_answer_of(previous),
        )
        return _Turn(conversation, previous, prompt)
    param = "regenerates" if event.regenerates else "continues"
    earlier_id = event.regenerates or event.continues
    assert earlier_id is not None  # one of the three tasks
    earlier = _earlier(earlier_id, owner, event.conversation_id, param)
    if earlier.status in OPEN:
        raise ProtocolError("invalid_event", f"`{param}`: it has not ended yet.", param)
    turn = _Turn(earlier.conversation, earlier.previous, earlier.prompt)
    if event.regenerates:
        return turn
    if earlier.status == Status.COMPLETED or earlier.message is None:
        message = "`continues`: only an answer that was cut has more to come."
        raise ProtocolError("invalid_event", message, param)
    return replace(turn, continues=earlier)


def _answer_of(response: Response | None) -> Message | None:
    """The message that says something; a thought that never came to an answer is none."""
    message = response.message if response else None
    return message if message and message.content else None


def _place(
    event: ResponseCreate, owner: str, user: User | None
) -> tuple[Conversation, Response | None]:
    """The conversation of a new prompt, and the response that it follows."""
    if event.previous_response_id:
        previous = _earlier(
            event.previous_response_id, owner, event.conversation_id, "previous_response_id"
        )
        return previous.conversation, previous
    if event.conversation_id is None:
        title = title_of(event.input or "")
        return Conversation.objects.create(owner=owner, user=user, title=title), None
    conversation = Conversation.objects.filter(pk=event.conversation_id, owner=owner).first()
    if conversation is None:
        raise ProtocolError("not_found", "There is no such conversation.", "conversation_id")
    return conversation, newest_first(conversation).first() if event.follows_newest else None


def title_of(prompt: str) -> str:
    """A conversation's first title."""
    return " ".join(prompt.split())[:80]


def _row(response_id: UUID | str) -> Response | None:
    """The row, with the answer that it continues."""
    return Response.objects.select_related("continues__message").filter(pk=response_id).first()


def _find(response_id: UUID | str) -> Response | None:
    related = ("conversation", "prompt", "message", "previous")
    return Response.objects.select_related(*related).filter(pk=response_id).first()


def _own(response: Response, owner: str) -> Response:
    if response.owner != owner:
        raise ProtocolError("forbidden", "This response belongs to somebody else.", "response_id")
    return response


def _earlier(response_id: UUID, owner: str, conversation_id: UUID | None, param: str) -> Response:
    """A response of the owner's own that a new one refers to."""
    response = _find(response_id)
    if response is None or response.owner != owner:
        raise ProtocolError("not_found", "There is no such response.", param)
    if conversation_id not in (None, response.conversation_id):
        raise ProtocolError("invalid_event", f"`{param}`: of another conversation.", param)
    return response


@in_database
def edit_prompt(response_id: UUID, owner: str, text: str) -> None:
    """Change the prompt of a response that waits. Raises ProtocolError."""
    with transaction.atomic():
        # The update locks the row: a worker that starts it now reads what we wrote, or was first.
        waits = Q(pk=response_id, owner=owner, status__in=(Status.ACCEPTING, Status.QUEUED))
        waiting = Response.objects.filter(waits).update(attempt=F("attempt"))
        response = _find(response_id)
        if response is None:
            raise ProtocolError("not_found", "There is no such response.", "response_id")
        _own(response, owner)
        if not waiting:
            raise ProtocolError(
                "already_started", "The answer has begun; send a new prompt.", "response_id"
            )
        if response.prompt.responses.count() > 1:
            message = "`response_id`: this prompt has an answer already; send a new one."
            raise ProtocolError("invalid_event", message, "response_id")
        conversation, prompt = response.conversation, response.prompt
        if response.previous is None and conversation.title == title_of(prompt.content):
            conversation.title = title_of(text)
            conversation.save(update_fields=["title", "updated_at"])
        prompt.content = text
        prompt.save(update_fields=["content"])


@in_database
def discard(response: Response) -> None:
    """Forget a prompt that the waiting list did not accept."""
    with transaction.atomic():
        conversation, prompt = response.conversation, response.prompt
        response.delete()
        if not prompt.responses.exists():
            prompt.delete()
        if not conversation.messages.exists():
            conversation.delete()


@in_database
def mark_queued(response_ids: Iterable[UUID], slots: Mapping[UUID, str] = EMPTY) -> None:
    """Say that the waiting list has them, and where they stand there, as far as they have a place.
    The ids are asked for in the database's thread."""
    ids = list(response_ids)
    accepting = Response.objects.filter(status=Status.ACCEPTING)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        rows = accepting.filter(pk__in=some)
        if any(slots.get(pk) for pk in some):
            rows.update(status=Status.QUEUED, slot=_slot_by_id(slots, some))
        else:
            rows.update(status=Status.QUEUED)


def _slot_by_id(slots: Mapping[UUID, str], ids: Sequence[UUID]) -> Combinable:
    if len(ids) == 1:
        return Value(slots[ids[0]])
    cases = (When(pk=pk, then=Value(slots[pk])) for pk in ids if slots.get(pk))
    return Case(*cases, default=F("slot"), output_field=CharField())


@in_database
def keep_slots(slots: Mapping[UUID, str]) -> None:
    """Write where open responses stand in the waiting list now."""
    ids = list(slots)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        Response.objects.filter(pk__in=some, status__in=OPEN).update(slot=_slot_by_id(slots, some))


@in_database
def other_slots(slots: Mapping[UUID, str]) -> list[UUID]:
    """Of which open responses the record says another place."""
    ids, other = list(slots), []
    for start in range(0, len(ids), _AT_ONCE):
        some = Response.objects.filter(pk__in=ids[start : start + _AT_ONCE], status__in=OPEN)
        rows = some.values_list("pk", "slot")
        other += [pk for pk, slot in rows.iterator() if slot != slots[pk]]
    return other


@in_database
def revive(response_ids: Sequence[UUID]) -> list[Response]:
    """Count that the waiting list has forgotten them; the rows of those that have not ended."""
    revived: list[Response] = []
    for start in range(0, len(response_ids), _AT_ONCE):
        some = Response.objects.filter(
            pk__in=response_ids[start : start + _AT_ONCE], status__in=OPEN
        )
        with transaction.atomic():
            # A process that was stopped may hold some: they come with a later pass.
            skips = connection.features.has_select_for_update_skip_locked
            rows = list(some.select_for_update(skip_locked=skips).order_by("created_at", "ordinal"))
            pks = [row.pk for row in rows]
            Response.objects.filter(pk__in=pks).update(restarts=F("restarts") + 1)
            for row in rows:
                row.restarts += 1
            revived += rows
    return revived


@in_database
def restart(response_id: UUID | str) -> None:
    """Count that the waiting list has forgotten a response, if it is open."""
    rows = Response.objects.filter(pk=response_id, status__in=OPEN)
    rows.update(restarts=F("restarts") + 1)


@in_database
def count_hang(response_id: UUID | str) -> int:
    """Count that an engine hung while it wrote the answer; how many have, in all processes."""
    rows = Response.objects.filter(pk=response_id)
    rows.update(hangs=F("hangs") + 1)
    return rows.values_list("hangs", flat=True).first() or 0


@in_database
def get(response_id: UUID | str) -> Response | None:
    """A response, with the answer that it continues."""
    return Response.objects.select_related("continues__message").filter(pk=response_id).first()


@in_database
def start_all(
    worker_id: str, claimed: Sequence[tuple[str, int]], most_chars: int = MOST_CHARS
) -> list[Work | Exception | None]:
    """Mark claimed responses `in_progress`, each with its attempt, and read their histories, of
    each about so many characters at most, the newest turns.

    One visit to the database's thread, and one transaction if all goes well, else one each: None
    for a response that may not run, and what went wrong with one in its place.
    """
    try:
        return [*_start(worker_id, claimed, most_chars)]
    except Exception as error:
        if len(claimed) == 1:
            return [error]
        return [_start_safely(worker_id, each, most_chars) for each in claimed]


def _start_safely(
    worker_id: str, claimed: tuple[str, int], most_chars: int
) -> Work | Exception | None:
    try:
        return _start(worker_id, [claimed], most_chars)[0]
    except Exception as error:
        return error


def _start(
    worker_id: str, claimed: Sequence[tuple[str, int]], most_chars: int
) -> list[Work | None]:
    by_attempt: dict[int, list[str]] = {}
    for response_id, attempt in claimed:
        by_attempt.setdefault(attempt, []).append(response_id)
    works: dict[tuple[str, int], Work] = {}
    with transaction.atomic():
        for attempt, ids in sorted(by_attempt.items()):
            Response.objects.filter(pk__in=ids, status__in=OPEN).update(
                status=Status.IN_PROGRESS,
                worker=worker_id,
                attempt=attempt,
                started_at=Coalesce("started_at", timezone.now()),
            )
            ours = Response.objects.filter(pk__in=ids, status=Status.IN_PROGRESS)
            for row in ours.select_related("prompt").order_by():
                works[str(row.pk), attempt] = _work(row, most_chars)
    return [works.get(each) for each in claimed]


def _work(row: Response, most_chars: int) -> Work:
    given = {**row.params, "stop": tuple(row.params["stop"])}
    given.pop("thinking", None)  # it is no matter of sampling
    given["asked"] = frozenset(given)
    trims = given.pop("truncation", "auto") == "auto"
    turns, left_out = _history(row, most_chars)
    return Work(row, tuple(turns), SamplingParams(**given), left_out, trims)


def _history(response: Response, most_chars: int) -> tuple[list[ChatMessage], int]:
    """The turns up to the prompt, and the answer that is continued; how many were left out."""
    prompt, continued = response.prompt, response.continues
    if prompt.parent_id is None and (answer := _answer_before(response)):
        prompt.parent = answer
        prompt.save(update_fields=["parent"])
    return chain_to((continued and continued.message) or prompt, most_chars)


def _answer_before(response: Response) -> Message | None:
    """What the prompt follows, known for certain only now: the nearest turn with an answer."""
    earlier = response.previous
    if earlier is None or (answer := _answer_of(earlier)):
        return answer if earlier else None
    names = ("pk", "answer", "continues_id", "previous_id")
    rows = (
        Response.objects.filter(conversation=response.conversation_id)
        .annotate(answer=Case(When(~Q(message__content=""), then=F("message_id"))))
        .values_list(*names)
    )
    known = {pk: (message, continues or previous) for pk, message, continues, previous in rows}
    message, before = known[earlier.pk]
    while message is None and before in known:
        message, before = known[before]
    return Message.objects.get(pk=message) if message else None


@in_database
def end(
    response_ids: Sequence[UUID | str],
    ending: Ending,
    *,
    of: Iterable[Status] = OPEN,
    attempt: Attempt | None = None,
    row: Response | None = None,
    told: Callable[[Response], None] = lambda row: None,
) -> list[Response]:
    """End responses; return the rows of those that this call has ended, in the order of the ids.

    Only rows with a status in `of`, and of this `attempt` if one is given, are touched. `row` is
    the only response as it was read before, so that it is not read again. Several are ended
    without an answer. `told` is called for each row in the database's thread, after the commit.
    """
    assert len(response_ids) <= 1 or ending.said == Said()
    fields = ending.fields()
    with transaction.atomic():
        under = attempt._asdict() if attempt else {}
        open_rows = Response.objects.filter(pk__in=response_ids, status__in=of, **under)
        rows = [row] if row else []
        if len(response_ids) > 1:  # which they are is known while they are locked
            rows = list(open_rows.select_for_update().order_by("pk"))
            open_rows = Response.objects.filter(pk__in=[each.pk for each in rows])
        if not open_rows.update(**fields):
            return []
        for each in rows:
            for name, value in fields.items():
                setattr(each, name, value)
        for each in rows or (rows := list(Response.objects.filter(pk__in=response_ids))):
            _keep_answer(each)
            transaction.on_commit(partial(told, each), robust=True)
    turn = {str(response_id): number for number, response_id in enumerate(response_ids)}
    return sorted(rows, key=lambda each: turn[str(each.pk)])


def _answer(said: Said) -> dict[str, Any]:
    """The fields of an answer: its message, if there is any text or thought, is written next. (The
    database looks whether it is there when all is committed.)"""
    return {
        "text": said.text,
        "reasoning": said.reasoning,
        "reasoning_ms": said.reasoning_ms,
        "passed": dict(said.passed) or None,
        "message_id": uuid4() if said.text or said.reasoning else None,
    }


def _keep_answer(response: Response) -> None:
    """Make what an ended response says, if it says anything, a turn of its conversation."""
    if response.message_id:
        response.message = Message.objects.create(
            id=response.message_id,
            conversation_id=response.conversation_id,
            parent_id=response.prompt_id,
            role=Message.Role.ASSISTANT,
            content=prefix_of(response) + response.text,
            reasoning=thought_before(response) + response.reasoning,
        )


def prefix_of(response: Response) -> str:
    """The text that a response goes on with; empty for most."""
    continued = response.continues
    return continued.message.content if continued and continued.message else ""


def thought_before(response: Response) -> str:
    """The thought that a response goes on with, or after; empty for most."""
    continued = response.continues
    return continued.message.reasoning if continued and continued.message else ""


@in_database
def ended_row(response_id: UUID | str) -> Response | None:
    """Return an ended response; None while it is open, or if it is unknown."""
    return Response.objects.filter(pk=response_id).exclude(status__in=OPEN).first()


def total_ms(response: Response) -> int:
    """From when it was accepted to its end, in whole milliseconds; 0 while it is open."""
    return milliseconds(response.created_at, response.finished_at) or 0


def milliseconds(since: datetime, until: datetime | None) -> int | None:
    """Whole milliseconds between two moments; None if the second never came."""
    return None if until is None else max(0, round((until - since).total_seconds() * 1000))


@in_database
def open_rows(
    accepting_before: datetime | None, limit: int, after: Response | None = None
) -> list[Response]:
    """Open rows, oldest first; those still `accepting` only if written before a moment, if one is
    given. So many at most, those behind `after`."""
    rows = Response.objects.filter(status__in=OPEN).order_by("created_at", "pk")
    if accepting_before is not None:
        rows = rows.exclude(status=Status.ACCEPTING, created_at__gte=accepting_before)
    if after is not None:
        later = Q(created_at__gt=after.created_at)
        rows = rows.filter(later | Q(created_at=after.created_at, pk__gt=after.pk))
    return list(rows[:limit])


@in_database
def ended(response_ids: Sequence[str]) -> list[str]:
    """Those of the ids that the record holds as ended, or does not hold at all."""
    is_open = Response.objects.filter(pk__in=response_ids, status__in=OPEN)
    still = {str(pk) for pk in is_open.values_list("pk", flat=True)}
    return [response_id for response_id in response_ids if response_id not in still]
