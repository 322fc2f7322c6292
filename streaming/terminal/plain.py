"""One prompt, its answer as plain text: for pipes and scripts."""

from __future__ import annotations

import contextlib
import queue
from typing import TextIO

from streaming.client import (
    ENDS,
    ChatError,
    FunctionCallItem,
    OutputItemDone,
    OutputTextDelta,
    ReasoningTextDelta,
    RefusalDelta,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
)
from streaming.terminal import words
from streaming.terminal.session import Exchange, Session, Signal
from streaming.terminal.visible import visible

FAILED, INTERRUPTED = 1, 130
_GOODBYE_SECONDS = 5.0


def answer_once(
    session: Session, prompt: str, out: TextIO, err: TextIO, reasoning: bool = False
) -> int:
    """Send a prompt, print the answer as it comes, and return the exit status.

    Only the text goes to `out`. Everything else goes to `err`: positions in the queue only if that
    is a terminal, and what the model thinks only with `reasoning`. Raises BrokenPipeError when
    nobody reads `out` any more.
    """
    exchange = session.ask(prompt)
    with exchange.stoppable():
        try:
            status = _print(exchange, out, err, reasoning)
        except BrokenPipeError:
            # The reader has enough: the server need not go on.
            session.stop(exchange)
            with contextlib.suppress(queue.Empty):
                while exchange.news.get(timeout=_GOODBYE_SECONDS) is not Signal.END:
                    pass
            raise
    return INTERRUPTED if exchange.was_stopped and status else status


def _print(exchange: Exchange, out: TextIO, err: TextIO, reasoning: bool) -> int:
    printed = Printed(out)
    thought = Printed(err)
    calls: list[FunctionCallItem] = []
    refusal = ""
    status = FAILED
    while (news := exchange.news.get()) is not Signal.END:
        if isinstance(news, OutputTextDelta):
            thought.end()
            printed.add(news.delta)
        elif isinstance(news, ReasoningTextDelta):
            if reasoning:
                thought.add(news.delta)
        elif isinstance(news, ResponseInProgress):
            printed.begin_anew()
            thought.begin_anew()
            calls.clear()
            refusal = ""
        elif isinstance(news, RefusalDelta):
            refusal += news.delta
        elif isinstance(news, OutputItemDone) and isinstance(news.item, FunctionCallItem):
            calls.append(news.item)
        elif isinstance(news, ENDS):
            thought.end()
            printed.end()
            if refusal:
                print(words.of_refusal(refusal), file=err)
            for call in calls:
                print(words.of_call(call), file=err)
            if said := words.of_end(news.response, stopped=exchange.was_stopped):
                print(said, file=err)
            status = 0 if news.response.status in ("completed", "incomplete") else FAILED
        elif isinstance(news, ChatError):
            thought.end()
            printed.end()
            print(words.of_error(news), file=err)
        elif isinstance(news, ResponseQueued | ResponseQueuePosition) and err.isatty():
            print(words.of_place(news), file=err)
        elif news is Signal.AWAY:
            print("The connection is lost; trying again.", file=err)
    return status


class Printed:
    """A text printed to a stream, where nothing can be taken back.

    An answer that begins anew, perhaps with the same words, is printed from where it differs.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said = ""
        self._is_ended = False  # with a new line
        self._again: str | None = None  # the new text, until it has caught up

    def add(self, delta: str) -> None:
        """Print a delta; of an answer that began anew, only what differs from the printed text."""
        if self._again is not None:
            self._again += delta
            if self._said.startswith(self._again):
                return
            if self._again.startswith(self._said):
                delta = self._again[len(self._said) :]
            else:
                self._write("\n")
                self._said, delta = "", self._again
            self._again = None
        self._said += delta
        self._is_ended = False
        self._write(delta)

    def begin_anew(self) -> None:
        """Compare what comes from now on with what is printed, before more is written."""
        self._again = ""

    def end(self) -> None:
        """Print what is still held back, and end the line if it is not ended."""
        if self._again is not None and self._again != self._said:
            # The new answer is shorter than what was printed of the old one.
            self._write("\n")
            self._said = self._again
            self._write(self._said)
            self._again = None
        if self._said and not (self._is_ended or self._said.endswith("\n")):
            self._is_ended = True
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(visible(text))
        self._out.flush()
