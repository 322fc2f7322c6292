"""Incremental text of an answer: never half a character, never part of a stop string.

A pure function of the tokens pushed so far: pushing an earlier attempt's tokens again leaves
it exactly where that attempt stood.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streaming.engine.base import Channel

Part = tuple[Channel, str]
"""Some new text of an answer."""

_REPLACEMENT = "\ufffd"

_CUT_CHARS = 3
"""A character cut in half has so many bytes at most, and decodes as no more replacements."""

_MOST_TOKENS, _KEPT_TOKENS = 64, 16
"""An answer of nothing but replacements is decoded in windows, not again and again as a whole."""


class Detokenizer:
    """`decode` turns token ids into text; tokens in `silent` (special ones) have none.

    `after`: tokens of a text that goes on with the first one pushed. All of an answer is text to
    it; `Channels` reads the others.
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
        return self._stops.stopped

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character or a stop string may go on.

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
        """What was held back for a stop string that did not come; half a character is dropped."""
        return self._stops.flush()

    def read(self, token: int) -> Sequence[Part]:
        """`push`, as `Channels` has it."""
        text = self.push(token)
        return ((Channel.TEXT, text),) if text else ()

    def end(self) -> Sequence[Part]:
        """`flush`, as `Channels` has it."""
        text = self.flush()
        return ((Channel.TEXT, text),) if text else ()

    def forced(self) -> int | None:
        return None

    def ends(self, token: int) -> bool:
        return False

    def _shorten(self, open_chars: int) -> None:
        """Keep the last tokens only; so many replacements at the end are not out yet."""
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
        """What of the text can be shown; nothing any more once it has `stopped`."""
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
        """What was held back for one that did not come."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
