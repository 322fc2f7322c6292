"""Errors as OpenAI's clients expect them: a status, and `{"error": {...}}` as the body."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from streaming.api.openai_errors import body_of
from streaming.protocol.request_items import place_of
from streaming.protocol.response_resource import ResponseError
from streaming.system.outages import AWAY

logger = logging.getLogger(__name__)


_PARAM_CHARS = 100
"""So much of a field's name is repeated; the client may have made up a long one."""

_STATUS_OF_CODE = {
    "invalid_event": 400,
    "input_too_long": 400,
    "context_length_exceeded": 400,
    "context_full": 400,  # an answer that is to go on, and no room for more
    "invalid_messages": 400,  # the model's chat template refuses them
    "invalid_params": 400,
    "queue_full": 429,
    "user_limit": 429,
    "address_limit": 429,
    "rate_limited": 429,
    "queue_closed": 503,
    "unavailable": 503,
    "upstream_unavailable": 503,
    "not_continuable": 400,
    "queue_timeout": 503,
    "generation_timeout": 504,
}
"""Of our own codes; all others are 500."""


class ApiError(Exception):
    """What becomes the answer of a request that cannot be served."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """Return the JSON body, as a dict."""
        return body_of(self.status, self.code, self.message, self.param)

    def response(self) -> HttpResponse:
        """Return the HTTP response, which nobody may keep."""
        headers = {"Cache-Control": "no-store", **self.headers}
        text = json.dumps(self.body)
        return HttpResponse(
            text, content_type="application/json", status=self.status, headers=headers
        )


def of_refusal(code: str, message: str, retry_after: int) -> ApiError:
    """Return the error of what was not accepted, or failed; `retry_after` is in seconds."""
    status = _STATUS_OF_CODE.get(code, 500)
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else None
    return ApiError(status, code, message, headers=headers)


def of_end(status: str, error: ResponseError | None, retry_after: int) -> ApiError:
    """A response that was `failed`, or `cancelled` by somebody else than its client; `retry_after`
    is in seconds."""
    if error is not None:
        return of_refusal(error.code, error.message, retry_after)
    if status == "cancelled":
        # Whoever cancelled it does not want it tried again.
        message = "The answer was cancelled by an operator of this service."
        return ApiError(500, "cancelled", message, headers={"X-Should-Retry": "false"})
    return ApiError(500, "internal_error", "The answer failed.")


def set_handlers(api: NinjaAPI) -> None:
    """Every error of the API in one shape."""
    for kind in (ApiError, ValidationError, HttpError, RequestDataTooBig, Http404, Exception):
        api.add_exception_handler(kind, _answer)


def _answer(request: HttpRequest, error: Any) -> HttpResponse:
    match error:
        case ApiError():
            return error.response()
        case ValidationError():
            return _invalid(error).response()
        case HttpError():
            return _unreadable(error).response()
        case RequestDataTooBig():
            return too_large().response()
        case Http404():
            return unknown_url(request).response()
    request_id = getattr(request, "request_id", "-")
    what = "%s %s failed (request %s)."
    logger.error(what, request.method, request.path, request_id, exc_info=error)
    return of_fault(error).response()


def too_large() -> ApiError:
    """Return the error for a body beyond the bound."""
    return ApiError(413, "request_too_large", "The request's body is too large.")


def unknown_url(request: HttpRequest) -> ApiError:
    """Return the error for an address where nothing is."""
    url = f"{request.method} {request.path}"[:200]
    return ApiError(404, "unknown_url", f"There is nothing at this address: {url}.")


def not_allowed(request: HttpRequest, allowed: str) -> ApiError:
    """Return the error for a method that an address does not take, as opposed to `allowed`."""
    message = f"{request.method} is not allowed at {request.path[:200]}; use {allowed}."
    return ApiError(405, "method_not_allowed", message, headers={"Allow": allowed})


def of_status(request: HttpRequest, status: int) -> ApiError:
    """An answer that something made which knows no API: a page, or bare text."""
    if status == 404:
        return unknown_url(request)
    if status == 413:
        return too_large()
    if status == 503:
        return unavailable()
    if status >= 500:
        return of_fault(Exception())
    return ApiError(status, "invalid_request", f"The request was refused (HTTP {status}).")


def unavailable(retry_after: int = 5) -> ApiError:
    """Return the error for a service that cannot be reached; `retry_after` is in seconds."""
    message = "The service cannot be reached right now. Try again in a moment."
    return ApiError(503, "unavailable", message, headers={"Retry-After": str(retry_after)})


def of_fault(error: Exception) -> ApiError:
    """Something that went wrong here."""
    if isinstance(error, AWAY):
        return unavailable()
    return ApiError(500, "internal_error", "Something went wrong here. Try again.")


def _unreadable(error: HttpError) -> ApiError:
    cause = error.__cause__  # what our parser said, which the framework has wrapped
    if isinstance(cause, ApiError):
        return cause
    return ApiError(error.status_code, "invalid_request", error.message)


def _invalid(error: ValidationError) -> ApiError:
    """The first fault, in one sentence that names the field."""
    fault = error.errors[0]
    where, *names = fault["loc"]
    place = names if where == "query" else names[1:]  # not the argument's name
    return of_fault_in({**fault, "loc": place})


def of_fault_in(fault: Mapping[str, Any]) -> ApiError:
    """Return the error for what is wrong in a request's JSON, as pydantic describes it."""
    location = place_of(fault["loc"])
    param = fault.get("ctx", {}).get("param") or ".".join(location)[:_PARAM_CHARS] or None
    kind, message = str(fault["type"]), str(fault["msg"]).removeprefix("Value error, ")
    if kind in _OWN_KINDS:
        return ApiError(400, kind, message, param)
    if param is None:
        return ApiError(400, "invalid_json", "The body must be one JSON object.")
    code = "missing_required_parameter" if kind == "missing" else "invalid_value"
    return ApiError(400, code, f"`{param}`: {message}.", param)


_OWN_KINDS = (
    "unsupported_parameter",
    "unsupported_value",
    "invalid_content",
    "missing_required_parameter",
)
