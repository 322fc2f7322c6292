"""The turns that a response was asked over, and single turns by their keys, for their owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from streaming.engine.base import ChatMessage
from streaming.models import Message, Response
from streaming.record.chain import chain_to, keys_to
from streaming.record.database import in_database
from streaming.record.following import last_turn
from streaming.record.histories import MOST_CHARS
from streaming.record.portions import portions


class Turn(NamedTuple):
    """A turn, and the response whose answer it is, if it is one's."""

    message: Message
    response: Response | None


@in_database
def own_response(response_id: UUID, owner: str) -> Response | None:
    """Return a stored response of the owner's."""
    found = Response.objects.filter(pk=response_id, owner=owner, stored=True)
    return found.select_related("conversation").first()


@in_database
def own_turns(keys: Sequence[UUID], owner: str) -> dict[UUID, Turn]:
    """Return the turns of the owner's conversations with these keys, and those that the responses
    with these keys said; what is not stored is left out."""
    found: dict[UUID, Turn] = {}
    for some in portions(list(keys)):
        said = Response.objects.filter(pk__in=some, owner=owner, stored=True, message__isnull=False)
        for response in said.select_related("message"):
            assert response.message is not None
            found[response.pk] = Turn(response.message, response)
        messages = Message.objects.filter(pk__in=some, conversation__owner=owner)
        answers = {row.message_id: row for row in Response.objects.filter(message__in=some)}
        for message in messages:
            answer = answers.get(message.pk)
            if answer is None or answer.stored:
                found[message.pk] = Turn(message, answer)
    return found


@in_database
def keys_before(response: Response) -> list[UUID]:
    """Return the keys of the turns that a response was asked over, the newest first."""
    return keys_to(response.prompt)


@in_database
def turns(keys: Sequence[UUID]) -> list[Turn]:
    """Return turns by their keys, in this order."""
    found: dict[UUID, Turn] = {}
    for some in portions(list(keys)):
        answers = {row.message_id: row for row in Response.objects.filter(message__in=some)}
        for message in Message.objects.filter(pk__in=some):
            found[message.pk] = Turn(message, answers.get(message.pk))
    return [found[key] for key in keys if key in found]


@in_database
def said_until(response: Response) -> list[ChatMessage]:
    """Return the turns that a response was asked over, and its answer."""
    found = Response.objects.select_related("prompt", "message").get(pk=response.pk)
    turns, _ = chain_to(last_turn(found), MOST_CHARS)
    return turns
