"""What `/v1/responses` says of ids and items that do not fit, in OpenAI's words where there are."""

from __future__ import annotations

from streaming.api.errors import ApiError
from streaming.api.responses.requests import ResponseRequest
from streaming.record.errors import (
    NothingToAnswer,
    RecordError,
    StillOpen,
    Subject,
    UnansweredCall,
    UnknownCall,
)


def response_not_found(name: str) -> ApiError:
    """Return the error for an id that names no response of the client's."""
    return ApiError(404, "response_not_found", f"Response with id {name[:100]!r} not found.")


def previous_not_found(name: str) -> ApiError:
    """Return the error for a `previous_response_id` that cannot be followed."""
    message = f"Previous response with id {name[:100]!r} not found."
    return ApiError(400, "previous_response_not_found", message, "previous_response_id")


def conversation_not_found(name: str) -> ApiError:
    """Return the error for an id that names no conversation of the client's."""
    message = f"Conversation with id {name[:100]!r} not found."
    return ApiError(404, "conversation_not_found", message, "conversation")


def item_not_found(name: str, param: str) -> ApiError:
    """Return the error for a reference to an item that is not kept here."""
    return ApiError(404, "item_not_found", f"Item with id {name[:100]!r} not found.", param)


def of_record(error: RecordError, request: ResponseRequest) -> ApiError:
    """Return the error for what the record has nothing to."""
    previous = request.previous_response_id or ""
    match error:
        case UnansweredCall():
            text = f"No tool output found for function call {error.call_id[:100]}."
            return ApiError(400, "invalid_value", text, "input")
        case UnknownCall():
            text = (
                f"No tool call found for function call output with call_id {error.call_id[:100]}."
            )
            return ApiError(400, "invalid_value", text, "input")
        case NothingToAnswer():
            text = "There is nothing to answer: send `input`."
            return ApiError(400, "missing_required_parameter", text, "input")
        case StillOpen(subject=Subject.CONVERSATION):
            text = "Another response of this conversation has not ended yet. Try again later."
            return ApiError(400, "conversation_locked", text, "conversation")
        case StillOpen():
            text = f"Previous response with id {previous[:100]!r} has not ended yet."
            return ApiError(400, "previous_response_not_found", text, "previous_response_id")
    if error.subject is Subject.CONVERSATION and request.conversation:
        return conversation_not_found(request.conversation.id)
    return previous_not_found(previous)
