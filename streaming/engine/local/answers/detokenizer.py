"""Decodes an answer token by token: never half a character, never a part of a stop string.

The text is a pure function of the tokens pushed so far: after an earlier attempt's tokens are
pushed again, it goes on exactly where that attempt stood.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streaming.engine.base import Channel

Part = tuple[Channel, str]
"""New text of an answer, and its channel."""

_REPLACEMENT = "\ufffd"

_CUT_CHARS = 3
"""The most bytes of an incomplete character, and so the most U+FFFD that it decodes as."""

_MOST_TOKENS, _KEPT_TOKENS = 64, 16
"""Tokens that are decoded together at most, and that are kept of them: so an answer of nothing but
U+FFFD is not decoded again and again as a whole."""


class Detokenizer:
    """Decodes an answer that is all text; `ChannelParser` reads those that may have thoughts.

    - `decode` turns token ids into text; tokens in `silent` (special ones) have none
    - `stop`: the text ends before the first of these strings
    - `after`: tokens before the answer, whose text it continues
    """

    channel = Channel.TEXT
    thought_tokens = uncounted = 0

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stop: Sequence[str] = (),
        silent: Collection[int] = (),
        after: Sequence[int] = (),
    ) -> None:
        self._decode = decode
        self._stops = StopStrings(stop)
        self._silent = silent
        # `_window` starts with `_context` tokens whose text is out already: some decoders treat
        # the first token of a text differently, so new tokens are only decoded behind earlier ones.
        self._window = list(after)
        self._context = len(self._window)
        self._out = len(decode(self._window)) if after else 0  # characters of it that are out
        self._withheld = 0  # replacements that come out with the next other character

    @property
    def stopped(self) -> bool:
        """Return whether a stop string has ended the answer."""
        return self._stops.stopped

    def push(self, token: int) -> str:
        """Return the text that `token` completes; empty while a character or a stop string may go
        on.

        After a stop string has ended the answer, `stopped` is true and no more text comes.
        """
        if self._stops.stopped or token in self._silent:
            return ""
        self._window.append(token)
        text = self._decode(self._window)
        # A character cut in half decodes as U+FFFD; so does a genuine one, which then waits too.
        whole = text.rstrip(_REPLACEMENT)
        new = whole[self._out :]
        if new:
            self._out = len(whole)
            new = _REPLACEMENT * self._withheld + new
            self._withheld = 0
        if new and whole == text:
            del self._window[: self._context]
            self._context = len(self._window)
            self._out = len(self._decode(self._window))
        elif len(self._window) > _MOST_TOKENS:
            self._shorten(len(text) - self._out)
        return self._stops.push(new) if new else ""

    def flush(self) -> str:
        """Return what was held back for a stop string that did not come; half a character is
        dropped."""
        return self._stops.flush()

    def read(self, token: int) -> Sequence[Part]:
        """Return what `push` does, as parts: the interface of `ChannelParser`."""
        text = self.push(token)
        return ((Channel.TEXT, text),) if text else ()

    def end(self) -> Sequence[Part]:
        """Return what `flush` does, as parts: the interface of `ChannelParser`."""
        text = self.flush()
        return ((Channel.TEXT, text),) if text else ()

    def forced(self) -> int | None:
        """Return None: no token is ever forced."""
        return None

    def ends(self, token: int) -> bool:
        """Return False: no token ends the turn here only."""
        return False

    def _shorten(self, open_chars: int) -> None:
        """Keep the last tokens only; `open_chars` U+FFFD at the end are not out yet."""
        del self._window[:-_KEPT_TOKENS]
        self._context = 0
        kept = min(open_chars, _CUT_CHARS)
        self._withheld += open_chars - kept
        self._out = len(self._decode(self._window)) - kept


class StopStrings:
    """Ends a text before the first of some strings."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""  # may be the beginning of one
        self.stopped = False

    def push(self, new: str) -> str:
        """Return what of the text can be shown; nothing once it has `stopped`."""
        if not self._stop:
            return new
        if self.stopped:
            return ""
        text = self._held + new
        found = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max(overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back for one that did not come."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, stop: str) -> int:
    """Return the length of the longest proper prefix of `stop` that `text` ends with."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
