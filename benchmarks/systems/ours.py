"""Our engine without queue and sockets: as it is, and with one forward pass for each response and
token, as the project's first description had it."""

from __future__ import annotations

import gc
import queue
import time
from collections.abc import Callable, Sequence

from benchmarks.bare import BareEngine
from benchmarks.options import Options
from benchmarks.systems.base import Stream, System
from streaming.engine.base import (
    ChatMessage,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    TextDelta,
)
from streaming.engine.local import LocalEngine

PATIENCE_SECONDS = 600


class RawEngine(System):
    """The engine's interface in this process: requests in, events out."""

    name = "raw engine"

    def __init__(self, options: Options, max_running: int) -> None:
        self._engine = LocalEngine(
            options.model or None, dtype=options.dtype, max_running=max_running, progress=False,
            chat_template=options.chat_template,
        )  # fmt: skip
        self._events: queue.SimpleQueue[tuple[float, Sequence[EngineEvent]]] = queue.SimpleQueue()
        self._asked = 0

    def start(self) -> None:
        """Load the model and begin to step."""
        self._engine.start(lambda events: self._events.put((time.perf_counter(), events)))

    def close(self) -> None:
        """End the engine and free its memory."""
        self._engine.close()
        gc.collect()

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer all prompts at once, by greedy decoding."""
        streams: dict[str, Stream] = {}
        for prompt in prompts:
            self._asked += 1
            name = f"r{self._asked}"
            streams[name] = Stream()
            params = SamplingParams(max_tokens, seed=1, temperature=0.0, ignore_eos=True)
            self._engine.submit(GenerationRequest(name, (ChatMessage("user", prompt),), params))
        left = len(streams)
        while left:
            try:
                now, events = self._events.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                raise RuntimeError("The engine says nothing any more.") from None
            for event in events:
                stream = streams[event.response_id]
                if isinstance(event, TextDelta) and event.tokens:
                    stream.moments.append(now)
                    stream.tokens += len(event.tokens)
                elif isinstance(event, Finished):
                    if event.reason not in (FinishReason.STOP, FinishReason.LENGTH):
                        raise RuntimeError(f"An answer failed: {event.error_message}")
                    stream.ended, stream.status = now, event.reason
                    stream.prompt_tokens = event.prompt_tokens
                    left -= 1
        return list(streams.values())


class SeedsWay(System):
    """One pass for each response and token, in turns; a prompt is read in one pass."""

    name = "one pass per response"

    def __init__(self, options: Options, max_running: int, context: int) -> None:
        self._options, self._rows, self._context = options, max_running, context
        self._bare: BareEngine | None = None

    def start(self) -> None:
        """Load the model."""
        self._bare = BareEngine(self._options.model, self._options.dtype, self._rows, self._context)

    def close(self) -> None:
        """Free the model."""
        self._bare = None
        gc.collect()

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer the prompts in turn, one token each, by greedy decoding."""
        bare = self._bare
        assert bare is not None

        def forward(row: int, tokens: Sequence[int]) -> int:
            if len(tokens) > 1:
                return int(bare.read(row, tokens, chunk=len(tokens)).argmax())
            return int(bare.pass_of_one(row, tokens[0], len(rows[row]) - 1).argmax())

        rows = [bare.prompts.encode([ChatMessage("user", prompt)]) for prompt in prompts]
        return in_turn(rows, forward, max_tokens)


def in_turn(
    rows: Sequence[list[int]], forward: Callable[[int, Sequence[int]], int], max_tokens: int
) -> list[Stream]:
    """Run one pass after the other. `forward(row, tokens)` reads further tokens of a row and
    returns the next one. Each prompt is read in one pass; the generated tokens are appended to
    `rows`."""
    streams = [Stream(prompt_tokens=len(tokens)) for tokens in rows]
    for row, tokens in enumerate(rows):
        tokens.append(forward(row, tokens))
        note(streams[row])
    for _ in range(max_tokens - 1):
        for row, tokens in enumerate(rows):
            tokens.append(forward(row, tokens[-1:]))
            note(streams[row])
    for stream in streams:
        stream.ended, stream.status = stream.moments[-1], "done"
    return streams


def note(stream: Stream) -> None:
    """Note one more token, at this moment."""
    stream.moments.append(time.perf_counter())
    stream.tokens += 1
