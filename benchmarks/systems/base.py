"""The interface of all systems that are measured, and what is noted of each answer."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from benchmarks.numbers import NOTHING, gaps


@dataclass
class Stream:
    """One answer, as its reader saw it. Moments are seconds by `time.perf_counter`.

    `moments` are those at which text came, which may be several tokens at once; `tokens` is how
    many the answer has. `queue_seconds` is the server's own figure.
    """

    sent: float = field(default_factory=time.perf_counter)
    moments: list[float] = field(default_factory=list)
    ended: float = NOTHING
    tokens: int = 0
    prompt_tokens: int = 0
    queue_seconds: float = NOTHING
    status: str = ""
    eta: float | None = None
    started: float | None = None
    conversation: str = ""

    @property
    def ttft(self) -> float:
        """Return the seconds from the sending to the first text, queue time included."""
        return self.moments[0] - self.sent if self.moments else NOTHING

    @property
    def itl(self) -> list[float]:
        """Return the seconds between successive texts."""
        return gaps(self.moments)

    @property
    def tpot(self) -> float:
        """Return the mean seconds for each token after the first."""
        if self.tokens < 2 or not self.moments:
            return NOTHING
        return (self.moments[-1] - self.moments[0]) / (self.tokens - 1)

    @property
    def e2e(self) -> float:
        """Return the seconds from the sending to the end of the answer."""
        return self.ended - self.sent


def tokens_per_second(streams: Sequence[Stream]) -> float:
    """Return all tokens by the seconds from the first prompt sent to the last answer's end."""
    began = min(stream.sent for stream in streams)
    return sum(stream.tokens for stream in streams) / (max(s.ended for s in streams) - began)


class System(ABC):
    """A system that answers prompts, between the ends of a `with`. `answer` may be called
    repeatedly, never twice at once."""

    name = ""

    @abstractmethod
    def start(self) -> None:
        """Start it. Raises RuntimeError if it cannot answer."""

    @abstractmethod
    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer all prompts at once, by greedy decoding. Raises RuntimeError if one is not
        answered."""

    @abstractmethod
    def close(self) -> None:
        """End it and free its memory; it may not have started."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
