"""The operations of `/v1/conversations`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, TypeAdapter, ValidationError

from streaming.api.answers import ErrorBody
from streaming.api.conversations import paging, write_rate
from streaming.api.conversations.refusals import explained
from streaming.api.conversations.removal import left_without
from streaming.api.conversations.resources import (
    ConversationRequest,
    ConversationResource,
    ConversationUpdate,
    DeletedConversation,
    ItemList,
    ItemsRequest,
)
from streaming.api.conversations.sent_items import turns_sent
from streaming.api.errors import ApiError
from streaming.api.replies import private, requester_of
from streaming.api.responses.items import items_of
from streaming.api.responses.requests import Include
from streaming.lifecycle.forgetting import forget
from streaming.models import Conversation
from streaming.protocol import ids
from streaming.protocol.items import Item
from streaming.record import conversation_items

router = Router(tags=["conversations"])

_ERRORS: Any = (400, 401, 404, 409, 413, 415, 429, 500, 503)
_Include = Annotated[
    list[str] | None,
    Query(description="Names nothing that would be left out here; what is unknown is refused."),
]


_INCLUDE: TypeAdapter[Include] = TypeAdapter(Include)


def _answer(value: BaseModel, status: int = 200) -> HttpResponse:
    response = HttpResponse(value.model_dump_json(), content_type="application/json", status=status)
    return private(response)


@router.post(
    "",
    operation_id="createConversation",
    summary="Begin a conversation",
    response={200: ConversationResource, _ERRORS: ErrorBody},
)
async def create(request: HttpRequest, body: ConversationRequest) -> HttpResponse:
    """Begin a conversation, with items or without. A response that names it in `conversation`
    follows its items, and is added to them with its input when it is complete."""
    requester = requester_of(request)
    write_rate.count(requester)
    turns = await turns_sent(body.items or [], requester)
    made = await conversation_items.create(requester, turns, body.metadata)
    return _answer(ConversationResource.of(made))


@router.get(
    "/{conversation_id}",
    operation_id="retrieveConversation",
    summary="A conversation",
    response={200: ConversationResource, _ERRORS: ErrorBody},
)
async def retrieve(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Return a conversation of the caller's own: one that a program began, or one of the page."""
    with explained(conversation_id):
        owner = requester_of(request).owner
        found = await conversation_items.find(_key(conversation_id), owner)
    return _answer(ConversationResource.of(found))


@router.post(
    "/{conversation_id}",
    operation_id="updateConversation",
    summary="Change a conversation's metadata",
    response={200: ConversationResource, _ERRORS: ErrorBody},
)
async def update(
    request: HttpRequest, conversation_id: str, body: ConversationUpdate
) -> HttpResponse:
    """Replace the `metadata`."""
    requester = requester_of(request)
    write_rate.count(requester)
    with explained(conversation_id):
        changed = await conversation_items.set_metadata(
            _key(conversation_id), requester.owner, body.metadata or {}
        )
    return _answer(ConversationResource.of(changed))


@router.delete(
    "/{conversation_id}",
    operation_id="deleteConversation",
    summary="Delete a conversation",
    response={200: DeletedConversation, _ERRORS: ErrorBody},
)
async def delete(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Delete a conversation with its items and responses; one that is open is cancelled first."""
    with explained(conversation_id):
        owner = requester_of(request).owner
        found = await conversation_items.find(_key(conversation_id), owner)
    await sync_to_async(forget)(Conversation.objects.filter(pk=found.pk, owner=owner))
    return _answer(DeletedConversation(id=ids.wire_id(ids.CONVERSATION, found.pk)))


# --- items ---


@router.get(
    "/{conversation_id}/items",
    operation_id="listConversationItems",
    summary="The items of a conversation",
    response={200: ItemList, _ERRORS: ErrorBody},
)
async def list_items(
    request: HttpRequest,
    conversation_id: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    after: Annotated[str | None, Query()] = None,
    include: _Include = None,
) -> HttpResponse:
    """Return a page of the items, the newest first unless `order` is `asc`. Of a conversation with
    branches, as the page makes them, those of the newest one. `include` asks for nothing that is
    left out here."""
    _check_include(request)
    with explained(conversation_id):
        found = await paging.page(
            _key(conversation_id),
            requester_of(request).owner,
            after=after,
            limit=limit,
            order=order,
        )
    return _answer(found)


@router.post(
    "/{conversation_id}/items",
    operation_id="createConversationItems",
    summary="Add items to a conversation",
    response={200: ItemList, _ERRORS: ErrorBody},
)
async def create_items(
    request: HttpRequest, conversation_id: str, body: ItemsRequest, include: _Include = None
) -> HttpResponse:
    """Add items to the end. While a response of the conversation is open that is refused (409)."""
    requester = requester_of(request)
    write_rate.count(requester)
    _check_include(request)
    with explained(conversation_id):
        key, owner = _key(conversation_id), requester.owner
        await conversation_items.find(key, owner)  # first: whose it is comes before what is wrong
        turns = await turns_sent(body.items, requester)
        added = await conversation_items.append(key, owner, turns)
    items = [item for message in added for item in items_of(message)]
    return _answer(ItemList.of(items, has_more=False))


@router.get(
    "/{conversation_id}/items/{item_id}",
    operation_id="retrieveConversationItem",
    summary="An item of a conversation",
    response={200: Item, _ERRORS: ErrorBody},
)
async def retrieve_item(
    request: HttpRequest, conversation_id: str, item_id: str, include: _Include = None
) -> HttpResponse:
    """Return one item."""
    _check_include(request)
    with explained(conversation_id, item_id):
        owner = requester_of(request).owner
        _, item = await paging.item_of(_key(conversation_id), owner, item_id)
    return _answer(item)


@router.delete(
    "/{conversation_id}/items/{item_id}",
    operation_id="deleteConversationItem",
    summary="Take an item out of a conversation",
    response={200: ConversationResource, _ERRORS: ErrorBody},
)
async def delete_item(request: HttpRequest, conversation_id: str, item_id: str) -> HttpResponse:
    """Take an item out, and return the conversation. Later responses do not see it; the response
    whose input or output it was keeps it until that is deleted itself."""
    key, requester = _key(conversation_id), requester_of(request)
    write_rate.count(requester)
    with explained(conversation_id, item_id):
        at, _ = await paging.item_of(key, requester.owner, item_id)
        changed = await conversation_items.remove(
            key,
            requester.owner,
            at,
            lambda turn: left_without(turn, item_id),
        )
    return _answer(ConversationResource.of(changed))


def _check_include(request: HttpRequest) -> None:
    """Raise ApiError for what cannot be included. OpenAI's client calls the parameter
    `include[]`."""
    named = [*request.GET.getlist("include"), *request.GET.getlist("include[]")]
    try:
        _INCLUDE.validate_python(named)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"])
        raise ApiError(400, "unsupported_value", message, "include") from None


def _key(conversation_id: str) -> Any:
    return ids.key_of(conversation_id, ids.CONVERSATION)
