"""What the operations of `/v1/` have in common: who asks, and how an answer is sent."""

from __future__ import annotations

from typing import TypeVar, cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from streaming.record.tasks import Requester

R = TypeVar("R", bound=HttpResponseBase)


def requester_of(request: HttpRequest) -> Requester:
    """Return who asks, as the authentication has found."""
    return cast(Requester, request.auth)  # type: ignore[attr-defined]


def private(response: R) -> R:
    """Return an answer that nobody keeps, and whose stream no proxy holds back."""
    response["Cache-Control"] = "no-store"
    if response.streaming:
        response["X-Accel-Buffering"] = "no"
    return response
