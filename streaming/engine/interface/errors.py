"""The error that every engine raises, and says of a response that failed."""

from __future__ import annotations


class EngineError(Exception):
    """An engine cannot start or cannot serve a request; the text is for people.

    `code` is the machine-readable name that reaches the client.
    """

    def __init__(self, message: str, code: str = "engine_error") -> None:
        super().__init__(message)
        self.code = code


def context_exceeded(context: int = 0, taken: int = 0) -> EngineError:
    """Return the error of a request that does not fit the context and must not be trimmed.

    `context` and `taken` (by the messages) are tokens, 0 if nobody knows. Client programs
    recognise the error by its first words, which are OpenAI's.
    """
    numbers = f"{context} tokens, and the messages take {taken or 'more'}"
    return EngineError(
        f"This model's maximum context length is {numbers if context else 'exceeded'}. Shorten the "
        'conversation, or send `"truncation": "auto"` to have its oldest turns left out.',
        "context_length_exceeded",
    )
