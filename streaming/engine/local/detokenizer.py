"""Incremental text of an answer: never half a character, never part of a stop string.

A pure function of the tokens pushed so far: pushing an earlier attempt's tokens again leaves
it exactly where that attempt stood.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

_REPLACEMENT = "\ufffd"

_CUT_CHARS = 3
"""A character cut in half has so many bytes at most, and decodes as no more replacements."""

_MOST_TOKENS, _KEPT_TOKENS = 64, 16
"""An answer of nothing but replacements is decoded in windows, not again and again as a whole."""


class Detokenizer:
    """`decode` turns token ids into text; tokens in `silent` (special ones) have none.

    `after`: tokens of a text that goes on with the first one pushed.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stop: Sequence[str] = (),
        silent: Collection[int] = (),
        after: Sequence[int] = (),
    ) -> None:
        self._decode = decode
        self._stop = tuple(text for text in stop if text)
        self._silent = silent
        # `_window` starts with `_context` tokens whose text is out already: some decoders treat
        # the first token of a text differently, so new tokens are only decoded behind earlier ones.
        self._window = list(after)
        self._context = len(self._window)
        self._out = len(decode(self._window)) if after else 0  # characters of it that are out
        self._withheld = 0  # replacements that come out with the next other character
        self._held = ""  # may be the beginning of a stop string
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character or a stop string may go on.

        After a stop string has ended the answer, `stopped` is true and no more text comes.
        """
        if self.stopped or token in self._silent:
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
        return self._release(new) if new else ""

    def flush(self) -> str:
        """What was held back for a stop string that did not come; half a character is dropped."""
        held, self._held = self._held, ""
        return "" if self.stopped else held

    def _shorten(self, open_chars: int) -> None:
        """Keep the last tokens only; so many replacements at the end are not out yet."""
        del self._window[:-_KEPT_TOKENS]
        self._context = 0
        kept = min(open_chars, _CUT_CHARS)
        self._withheld += open_chars - kept
        self._out = len(self._decode(self._window)) - kept

    def _release(self, new: str) -> str:
        text = self._held + new
        found = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
