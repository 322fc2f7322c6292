"""The text that a client was sent, and what of a text is new to it."""

from __future__ import annotations

from streaming.api.errors import ApiError


class SentText:
    """The text that a client was sent, which cannot be taken back.

    When the queue has lost its memory an answer begins anew, and with the same seed it mostly
    says the same: what was sent is not sent again.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def add(self, text: str, offset: int) -> str:
        """What of `text`, which stands at `offset`, is new. Raises ApiError if it contradicts."""
        new = text
        if offset < self._length:
            self._parts = ["".join(self._parts)]
            known = self._parts[0][offset : offset + len(text)]
            if not text.startswith(known):
                message = "The answer was lost and began anew, with another text. Ask again."
                raise ApiError(500, "answer_restarted", message)
            new = text[len(known) :]
        self._parts.append(new)
        self._length += len(new)
        return new


class SentThought(SentText):
    """The same of a thought. Another one may follow it: what was thought first has led nowhere, and
    is contradicted by nothing but an answer."""

    def add(self, text: str, offset: int) -> str:
        """Return what of a thought is new; another thought follows a blank line."""
        try:
            return super().add(text, offset)
        except ApiError:
            other = "".join(self._parts)[:offset] + text
            self._parts, self._length = [other], len(other)
            return "\n\n" + other
