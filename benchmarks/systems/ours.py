"""Our engine without queue and sockets: as it is, and used the way that the project's seed text
describes, one forward pass for each response and token."""

from __future__ import annotations

import gc
import queue
import time
from collections.abc import Sequence

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
    """The engine's own face: requests in, events out, in this process."""

    name = "raw engine"

    def __init__(self, options: Options, max_running: int) -> None:
        self._engine = LocalEngine(
            options.model or None, dtype=options.dtype, max_running=max_running, progress=False
        )
        self._events: queue.SimpleQueue[tuple[float, Sequence[EngineEvent]]] = queue.SimpleQueue()
        self._asked = 0

    def start(self) -> None:
        self._engine.start(lambda events: self._events.put((time.perf_counter(), events)))

    def close(self) -> None:
        self._engine.close()
        gc.collect()

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        streams: dict[str, Stream] = {}
        for prompt in prompts:
            self._asked += 1
            name = f"r{self._asked}"
            streams[name] = Stream()
            params = SamplingParams(max_tokens=max_tokens, seed=1, temperature=0.0)
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
    """Responses take turns, one token each, in a pass of its own; a prompt is read at once."""

    name = "one pass per response"

    def __init__(self, options: Options, max_running: int, context: int) -> None:
        self._options, self._rows, self._context = options, max_running, context
        self._bare: BareEngine | None = None

    def start(self) -> None:
        self._bare = BareEngine(self._options.model, self._options.dtype, self._rows, self._context)

    def close(self) -> None:
        self._bare = None
        gc.collect()

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        bare = self._bare
        assert bare is not None
        streams = [Stream() for _ in prompts]
        rows = []
        for row, prompt in enumerate(prompts):
            tokens = bare.prompts.encode([ChatMessage("user", prompt)])
            streams[row].prompt_tokens = len(tokens)
            rows.append(tokens)
            token = int(bare.read(row, tokens, chunk=len(tokens)).argmax())
            tokens.append(token)
            note(streams[row])
        while running := [row for row, stream in enumerate(streams) if not stream.status]:
            for row in running:
                tokens = rows[row]
                if tokens[-1] in bare.stop_ids or streams[row].tokens >= max_tokens:
                    streams[row].ended, streams[row].status = time.perf_counter(), "done"
                    continue
                logits = bare.pass_of_one(row, tokens[-1], len(tokens) - 1)
                tokens.append(int(logits.argmax()))
                note(streams[row])
        return streams


def note(stream: Stream) -> None:
    stream.moments.append(time.perf_counter())
    stream.tokens += 1
