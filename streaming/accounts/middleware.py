"""What is done for every request of a signed-in browser: its session's use is written down."""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from streaming.identity import sessions
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)


@sync_and_async_middleware
def session_use(get_response: Any) -> Any:
    """Note the sessions of accounts. Stands before the session's middleware, which has given a new
    session its key when this one sees the answer."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            response: HttpResponse = await get_response(request)
            if sessions.is_signed_in(request):
                await sync_to_async(_note)(request)
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        if sessions.is_signed_in(request):
            _note(request)
        return response

    return answer


def _note(request: HttpRequest) -> None:
    try:
        sessions.note_use(request)
    except DatabaseError as error:  # the answer is there already
        log_fault(logger, error, "The use of a session could not be noted.")
