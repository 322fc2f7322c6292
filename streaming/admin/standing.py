"""What the page of a response shows and offers while it is open, or has failed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.http import HttpRequest

from streaming.admin import actions
from streaming.models import OPEN, Response, Status
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import Place, State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a response stands: `state` is one of the list's, `failed`, or empty if the list does
    not answer; and what this operator may do."""

    state: str
    position: int | None = None
    size: int = 0
    can_move: bool = False
    can_cancel: bool = False
    can_retry: bool = False


def of(response: Response, request: HttpRequest) -> Standing | None:
    """Return where a response stands; None for one that has ended, but for a failed one."""
    steers = _may(request, actions.CONTROL)
    if response.status == Status.FAILED:
        return Standing("failed", can_retry=True) if steers and not response.imported else None
    if response.status not in OPEN:
        return None
    cancels = _may(request, actions.CANCEL)
    place = _place(str(response.pk))
    if place is None:
        return Standing("", can_cancel=cancels)
    moves = steers and place.state is State.WAITING
    return Standing(place.state, place.position, place.size, can_move=moves, can_cancel=cancels)


def _may(request: HttpRequest, permission: str) -> bool:
    return request.user.has_perm("streaming.view_queue") and request.user.has_perm(permission)


def _place(response_id: str) -> Place | None:
    layer: Any = get_channel_layer()
    try:
        place: Place = async_to_sync(layer.waiting_list.place)(response_id)
    except Exception as error:
        log_fault(logger, error, "Where %s stands could not be read.", response_id)
        return None
    return place
