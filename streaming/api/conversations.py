"""A request's messages in the record: a conversation of their own, each after the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from streaming.api.auth import Client
from streaming.database import in_database
from streaming.engine.base import ChatMessage
from streaming.models import Conversation, Message, Response


@in_database
def create(messages: Sequence[ChatMessage], params: dict[str, Any], client: Client) -> Response:
    """Write the chain and the response (`accepting`) to its last message.

    If that one is the assistant's, the answer goes on with it.
    """
    with transaction.atomic():
        last_of_user = next(turn.content for turn in reversed(messages) if turn.role == "user")
        conversation = Conversation.objects.create(
            owner=client.owner,
            user=client.user,
            title=" ".join(last_of_user.split())[:80],
            source=Conversation.Source.API,
        )
        chain: list[Message] = []
        for turn in messages:
            chain.append(
                Message(
                    conversation=conversation,
                    parent=chain[-1] if chain else None,
                    role=turn.role,
                    content=turn.content,
                )
            )
        Message.objects.bulk_create(chain)
        return Response.objects.create(
            conversation=conversation,
            prompt=chain[-1],
            owner=client.owner,
            address=client.address,
            params=params,
        )


@in_database
def discard(response: Response) -> None:
    """Forget a request that the waiting list did not accept."""
    Conversation.objects.filter(pk=response.conversation_id).delete()
