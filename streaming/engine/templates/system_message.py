"""Where the words of system messages stand in a conversation."""

from __future__ import annotations

from streaming.engine.base import ChatMessage


def with_instruction(messages: list[ChatMessage], instruction: str) -> list[ChatMessage]:
    """Return the messages with an instruction appended to their system message, which is made if
    there is none."""
    if not instruction:
        return messages
    if messages[0].role != "system":
        return [ChatMessage("system", instruction), *messages]
    text = f"{messages[0].content}\n\n{instruction}".lstrip()
    return [ChatMessage("system", text), *messages[1:]]


def with_system_in_question(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Return the messages with the leading system messages put before the first question's text,
    for a template that takes no system message."""
    first = next((at for at, each in enumerate(messages) if each.role != "system"), 0)
    if first == 0 or messages[first].role != "user":
        return messages
    texts = [each.content for each in messages[: first + 1]]
    return [ChatMessage("user", "\n\n".join(texts)), *messages[first + 1 :]]
