"""The files and images of a conversation that a request brings along: kept, and read as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from streaming import conf
from streaming.api.errors import ApiError
from streaming.engine.base import ChatMessage
from streaming.files.errors import FileRefused
from streaming.files.parts import take_parts
from streaming.record.tasks import Requester

_RETRY_SECONDS = 5


async def attached(
    messages: Sequence[ChatMessage], requester: Requester, model: Mapping[str, Any]
) -> tuple[ChatMessage, ...]:
    """Return messages whose `parts` are as clients send them with their parts as the record keeps
    them, and with the text of files in their content. `model` is what its worker says of it.

    Raises ApiError for a part that is not taken, or if all texts together are too long.
    """
    most = conf.get().conversation_chars
    found: list[ChatMessage] = []
    total = sum(len(message.content) for message in messages)
    for number, message in enumerate(messages):
        if not message.parts:
            found.append(message)
            continue
        param = f"messages.{number}.content"
        try:
            taken = await take_parts(requester, message.parts, model, param=param)
        except FileRefused as error:
            raise of_file(error) from None
        total += len(taken.content) - len(message.content)
        if total > most:
            text = (
                f"The messages and their files have {total:,} characters together; at most "
                f"{most:,} are allowed."
            )
            raise ApiError(400, "context_length_exceeded", text, param)
        parts = tuple(taken.parts or ())
        found.append(replace(message, content=taken.content, parts=parts))
    return tuple(found)


def of_file(error: FileRefused) -> ApiError:
    """Return the error of a file, or an image, that is not taken."""
    if error.is_temporary:
        headers = {"Retry-After": str(_RETRY_SECONDS)}
        return ApiError(503, error.code, error.message, error.param, headers=headers)
    return ApiError(400, error.code, error.message, error.param)
