"""Ending responses: the one update to a terminal status, and the turn that keeps the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from streaming.engine.base import Finished, FinishReason
from streaming.models import OPEN, Message, Response, Status
from streaming.record import following
from streaming.record.database import in_database
from streaming.record.histories import prefix_of, thought_before
from streaming.record.output import Output
from streaming.system.escaping import sentence

STATUS_OF_REASON = {
    FinishReason.STOP: Status.COMPLETED,
    FinishReason.LENGTH: Status.INCOMPLETE,
    FinishReason.TOOL_CALLS: Status.COMPLETED,
    FinishReason.CANCELLED: Status.CANCELLED,
    FinishReason.ERROR: Status.FAILED,
}


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
    output: Output = field(default_factory=Output)
    error_code: str = ""
    error_message: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    trimmed_messages: int = 0
    first_token_at: datetime | None = None

    @classmethod
    def cancelled(cls, output: Output | None = None) -> Ending:
        """Return the end of what nobody wants any more."""
        return cls(Status.CANCELLED, FinishReason.CANCELLED, output or Output())

    @classmethod
    def failed(cls, code: str, message: str, output: Output | None = None) -> Ending:
        """Return the end of what cannot be answered."""
        return cls(Status.FAILED, FinishReason.ERROR, output or Output(), code, message)

    @classmethod
    def generated(
        cls,
        finished: Finished,
        output: Output,
        trimmed_messages: int = 0,
        first_token_at: datetime | None = None,
    ) -> Ending:
        """Return the end that an engine reported."""
        return cls(
            STATUS_OF_REASON[finished.reason],
            finished.reason,
            output,
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
            **_answer(self.output),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "trimmed_messages": self.trimmed_messages,
            "error_code": self.error_code,
            "error_message": sentence(self.error_message),
            "first_token_at": self.first_token_at,
            "finished_at": timezone.now(),
        }


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

    Only rows with a status in `of`, and of this `attempt` if one is given, are touched: whoever
    comes second changes nothing. `row` is the only response as it was read before, so that it is
    not read again. Several are ended without an answer. `told` is called for each row in the
    database's thread, after the commit.
    """
    assert len(response_ids) <= 1 or ending.output == Output()
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


def _answer(output: Output) -> dict[str, Any]:
    """The fields of an answer: its message, if there is any text or thought, is written next. (The
    database looks whether it is there when all is committed.)"""
    return {
        "text": output.text,
        "reasoning": output.reasoning,
        "reasoning_ms": output.reasoning_ms,
        "passed": dict(output.passed) or None,
        "items": output.kept_segments(),
        "message_id": uuid4() if _is_turn(output) else None,
    }


def _is_turn(output: Output) -> bool:
    """Whether an output says anything that the conversation goes on with."""
    passed = output.passed
    return bool(
        output.text or output.reasoning or passed.get("tool_calls") or passed.get("refusal")
    )


def _keep_answer(response: Response) -> None:
    """Make what an ended response says, if it says anything, a turn of its conversation."""
    if response.message_id:
        prompt = Message.objects.filter(pk=response.prompt_id)
        output, fields = Output.of_row(response), dict[str, Any]()
        if calls := output.tool_calls(response.pk):
            fields["tool_calls"] = calls
        if refusal := output.passed.get("refusal"):
            fields["refusal"] = refusal
        response.message = Message.objects.create(
            id=response.message_id,
            conversation_id=response.conversation_id,
            parent_id=response.prompt_id,
            role=Message.Role.ASSISTANT,
            content=prefix_of(response) + response.text,
            reasoning=thought_before(response) + response.reasoning,
            fields=fields or None,
            searchable=Coalesce(Subquery(prompt.values("searchable")), Value(True)),
        )
        following.keep_tail(response)
