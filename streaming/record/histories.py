"""What an engine reads before it answers: the turns that lead to a prompt."""

from __future__ import annotations

from django.db.models import Case, F, Q, When

from streaming.engine.base import ChatMessage
from streaming.models import Message, Response
from streaming.record.chain import chain_to

MOST_CHARS = 4_000_000
"""Characters of a history that are read where nobody says how many an engine may care for."""


def history_of(response: Response, most_chars: int) -> tuple[list[ChatMessage], int]:
    """Return the turns up to the prompt and the answer that is continued, oldest first, and how
    many older ones were left out; `most_chars` as in `chain_to`.

    What the prompt follows is written if it was not known when the prompt was.
    """
    prompt, continued = response.prompt, response.continues
    if prompt.parent_id is None and (answer := _answer_before(response)):
        prompt.parent = answer
        prompt.save(update_fields=["parent"])
    return chain_to((continued and continued.message) or prompt, most_chars)


def answer_of(response: Response | None) -> Message | None:
    """Return the message that says something; a thought without an answer is none."""
    message = response.message if response else None
    return message if message and message.content else None


def prefix_of(response: Response) -> str:
    """Return the text that a response goes on with; empty for most."""
    continued = response.continues
    return continued.message.content if continued and continued.message else ""


def thought_before(response: Response) -> str:
    """Return the thought that a response goes on with, or after; empty for most."""
    continued = response.continues
    return continued.message.reasoning if continued and continued.message else ""


def _answer_before(response: Response) -> Message | None:
    """Return what the prompt follows, known for certain only now: the nearest turn with an
    answer."""
    earlier = response.previous
    if earlier is None or (answer := answer_of(earlier)):
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
