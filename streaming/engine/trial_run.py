"""Starts an engine, asks it one question, and measures."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from streaming.engine.base import (
    Channel,
    ChatMessage,
    Engine,
    EngineError,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    TextDelta,
)


@dataclass(frozen=True, slots=True)
class TrialRun:
    """What one question measured.

    - `load_seconds`: until the engine could answer; `check_seconds` of them compared its pass with
      transformers' own
    - `first_seconds`: from the question to the first token; `per_second`: tokens after that one
    - `peak_bytes`: the most memory at once, of the accelerator if there is one; 0: not known
    - `ended`: the FinishReason
    """

    load_seconds: float
    check_seconds: float
    prompt_tokens: int
    tokens: int
    reasoning_tokens: int
    first_seconds: float
    per_second: float
    peak_bytes: int
    reasoning: str
    text: str
    ended: str


def try_out(engine: Engine, prompt: str, max_tokens: int) -> TrialRun:
    """Start the engine, ask it `prompt` for `max_tokens` tokens, and close it. Raises EngineError
    if it cannot start or the answer fails."""
    events: queue.SimpleQueue[Sequence[EngineEvent]] = queue.SimpleQueue()
    began = time.perf_counter()
    try:
        engine.start(events.put)
        loaded = time.perf_counter() - began
        params = SamplingParams(max_tokens=max_tokens, seed=0, asked=frozenset())
        asked = time.perf_counter()
        engine.submit(GenerationRequest("trial", (ChatMessage("user", prompt),), params))
        times: list[tuple[float, int]] = []
        said = {Channel.REASONING: "", Channel.TEXT: ""}
        while True:
            for event in events.get():
                if isinstance(event, TextDelta):
                    times.append((time.perf_counter() - asked, len(event.tokens)))
                    said[event.channel] += event.text
                elif isinstance(event, Finished):
                    return _run(engine, event, loaded, times, said)
    finally:
        engine.close()


def _run(
    engine: Engine, event: Finished, loaded: float, times: list[tuple[float, int]],
    said: dict[Channel, str],
) -> TrialRun:  # fmt: skip
    if event.reason is FinishReason.ERROR:
        raise EngineError(event.error_message, event.error_code or "engine_error")
    first, of_first = times[0] if times else (0.0, 0)
    taken = times[-1][0] - first if times else 0.0
    after = sum(tokens for _, tokens in times) - of_first
    return TrialRun(
        load_seconds=loaded,
        check_seconds=getattr(engine, "self_check_seconds", 0.0),
        prompt_tokens=event.prompt_tokens,
        tokens=event.completion_tokens,
        reasoning_tokens=event.reasoning_tokens,
        first_seconds=first,
        per_second=after / taken if taken else 0.0,
        peak_bytes=peak_bytes(engine.info.device),
        reasoning=said[Channel.REASONING],
        text=said[Channel.TEXT],
        ended=event.reason.value,
    )


def peak_bytes(device: str) -> int:
    """Return the most memory in bytes that was taken so far, on a device; 0 where nobody counts
    it."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
