"""What `/v1/conversations` takes and returns, after OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streaming.api.responses.requests import MOST_METADATA, Metadata
from streaming.models import Conversation
from streaming.protocol import ids
from streaming.protocol.items import Item
from streaming.protocol.request_items import SentItems

MOST_ITEMS_AT_ONCE = 20

FewItems = Annotated[SentItems, Field(max_length=MOST_ITEMS_AT_ONCE)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ConversationRequest(_Sent):
    """The beginning of a conversation."""

    items: FewItems | None = Field(None, description="At most 20 items to begin with.")
    metadata: Metadata = Field(None, max_length=MOST_METADATA)


class ConversationUpdate(_Sent):
    """What a program says about a conversation, in place of what it said before."""

    metadata: Metadata = Field(max_length=MOST_METADATA)


class ItemsRequest(_Sent):
    """Items for the end of a conversation."""

    items: Annotated[FewItems, Field(min_length=1)] = Field(description="1 to 20 items.")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ConversationResource(_Answer):
    """A conversation, without its items."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int = Field(description="Seconds since 1970.")
    metadata: dict[str, Any]

    @classmethod
    def of(cls, conversation: Conversation) -> ConversationResource:
        """Return a conversation of the record as clients see it."""
        return cls(
            id=ids.wire_id(ids.CONVERSATION, conversation.pk),
            created_at=int(conversation.created_at.timestamp()),
            metadata=conversation.metadata or {},
        )


class DeletedConversation(_Answer):
    """A conversation that is no more."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


class ItemList(_Answer):
    """A page of items. `last_id` is what the next page comes `after`."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, items: Sequence[Item], *, has_more: bool) -> ItemList:
        """Return a page of these items."""
        return cls(
            data=list(items),
            first_id=items[0].id if items else None,
            last_id=items[-1].id if items else None,
            has_more=has_more,
        )
