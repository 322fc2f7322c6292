"""From a request to `/v1/responses` to the task that gets a place in the queue."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.api import served
from streaming.api.responses import asked, references, refusals
from streaming.api.responses.contents import Asking
from streaming.api.responses.requests import ResponseRequest
from streaming.api.responses.turns import turns_of
from streaming.delivery.viewers import Viewers
from streaming.protocol import ids
from streaming.record.tasks import Items, Requester
from streaming.waiting_list.serving import model_details

_RETRY_SECONDS = 5
"""When nobody can tell when a place will be free."""

_MAX_RETRY_SECONDS = 60
"""The official client takes no longer wait for an answer."""


async def asking_of(layer: BaseChannelLayer, requester: Requester) -> Asking:
    """Return who asks, and what is known of the model that answers."""
    details = await model_details(layer)
    takes_tools = details.get("takes_tools", await served.is_upstream(layer))
    return Asking(requester, details, bool(takes_tools))


async def retry_after(layer: BaseChannelLayer) -> int:
    """Return the seconds after which a client that is refused may try again."""
    seconds = await Viewers.here(layer).queue_status.next_place()
    return min(_MAX_RETRY_SECONDS, math.ceil(seconds or _RETRY_SECONDS))


async def task_of(
    layer: BaseChannelLayer,
    request: ResponseRequest,
    requester: Requester,
    *,
    follows_unstored: bool = False,
) -> tuple[Items, dict[str, Any]]:
    """Return what a request asks, and its parameters as the record keeps them. Raises ApiError."""
    model = await served.find(layer, request.model or served.ALIAS)
    to_server = await served.is_upstream(layer)
    params = asked.params_of(request, await model_details(layer))
    passed = asked.passed_on(request, to_server=to_server)
    if passed is not None:
        params["passed"] = passed
    kept = {**asked.kept_of(request), "model": model.id}
    given = await references.resolved(request.input, requester.owner)
    task = Items(
        await turns_of(given, await asking_of(layer, requester)),
        previous_id=_previous(request),
        conversation_id=_conversation(request),
        instructions=request.instructions or "",
        request=kept,
        stored=request.is_stored,
        background=bool(request.background),
        follows_unstored=follows_unstored,
    )
    return task, params


def _previous(request: ResponseRequest) -> UUID | None:
    if request.previous_response_id is None:
        return None
    key = ids.key_of(request.previous_response_id, ids.RESPONSE)
    if key is None:
        raise refusals.previous_not_found(request.previous_response_id)
    return key


def _conversation(request: ResponseRequest) -> UUID | None:
    if request.conversation is None:
        return None
    key = ids.key_of(request.conversation.id, ids.CONVERSATION)
    if key is None:
        raise refusals.conversation_not_found(request.conversation.id)
    return key
