"""The interface every engine fills: submit, cancel, events, statistics.

An engine generates several responses concurrently and reports by events. It does not know
who waits, who reads, or where anything is stored; an engine that forwards to a remote
server fills the same interface as the local one.

Errors, requests, events and statistics stand in `interface/`, one module each; all of them can be
imported from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from streaming.engine.interface.errors import EngineError, context_exceeded
from streaming.engine.interface.events import (
    UNKNOWN_TOKEN,
    Channel,
    EngineEvent,
    EventSink,
    Finished,
    FinishReason,
    PassedDelta,
    Started,
    TextDelta,
)
from streaming.engine.interface.requests import (
    CHARS_PER_TOKEN,
    ChatMessage,
    Effort,
    GenerationRequest,
    SamplingParams,
    Thinking,
)
from streaming.engine.interface.statistics import (
    UPSTREAM,
    EngineStats,
    ModelInfo,
    StepRecord,
    ThreadStats,
)

__all__ = [
    "CHARS_PER_TOKEN",
    "UNKNOWN_TOKEN",
    "UPSTREAM",
    "Channel",
    "ChatMessage",
    "Effort",
    "Engine",
    "EngineError",
    "EngineEvent",
    "EngineStats",
    "EventSink",
    "FinishReason",
    "Finished",
    "GenerationRequest",
    "ModelInfo",
    "PassedDelta",
    "SamplingParams",
    "Started",
    "StepRecord",
    "TextDelta",
    "Thinking",
    "ThreadStats",
    "context_exceeded",
]


_FORMER_NAMES = {"absence": "unavailable_reason", "prefixes": "cached_prefix_capacity"}
"""Properties of Engine that had other names. Nobody asks for these any more, so that an engine
with `absence` would be given prompts while it is away."""


class Engine(ABC):
    """Thread-safe face of an engine. `submit` and `cancel` return at once, from any thread."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise EngineError (`settings`) for a class with a property by its former name."""
        super().__init_subclass__(**kwargs)
        for former, present in _FORMER_NAMES.items():
            if former in vars(cls):
                message = f"The engine {cls.__name__} has `{former}`: it is `{present}` now."
                raise EngineError(message, "settings")

    @property
    @abstractmethod
    def info(self) -> ModelInfo:
        """Return the loaded model. Raises EngineError before `start` has returned."""

    def prepare(self) -> None:
        """Fetch and check what `start` needs, where a person sees the progress.

        Raises EngineError if the model cannot be had or cannot be served.
        """
        return None

    @abstractmethod
    def start(self, sink: EventSink) -> None:
        """Load the model (blocking) and begin to step. Raises EngineError if it cannot serve."""

    @abstractmethod
    def submit(self, request: GenerationRequest) -> None:
        """Take a request. Its faults come as a Finished event, never as an exception here.

        Raises EngineError only when the engine is not running or the id is still open.
        """

    @abstractmethod
    def cancel(self, response_id: str) -> None:
        """End a response before the next step; unknown ids are ignored. Returns at once, even
        while a step hangs."""

    @property
    def unavailable_reason(self) -> str:
        """Return why nothing can be answered just now, though the engine is alive; empty if it
        can."""
        return ""

    @property
    def shares_cores(self) -> bool:
        """Return whether it computes on this machine's cores, and waits while others use them."""
        return True

    @property
    def cached_prefix_capacity(self) -> int:
        """Return how many prompts it keeps in its cache, the latest ones: a prompt that begins as
        one of them is read faster by this engine than by another. 0: none."""
        return 0

    @abstractmethod
    def stats(self) -> EngineStats:
        """Return the engine's counts at this moment, from any thread."""

    @abstractmethod
    def recent_steps(self) -> list[StepRecord]:
        """Return the last steps, oldest first, for tests and operators."""

    @abstractmethod
    def close(self, timeout: float = 10.0) -> None:
        """Stop stepping and free the model; running responses finish as cancelled.

        Waits `timeout` seconds at most for the thread that steps.
        """
