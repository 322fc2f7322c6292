"""How hard a storm is, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HANG_SECONDS = "6"
"""How long a step may take without any progress; twice that, and its process ends."""


@dataclass(frozen=True)
class Plan:
    """How many of each; `faults` names what is done, each as often as it says."""

    responses: int
    owners: int
    faults: dict[str, int]
    cancels: int
    reconnects: int
    at_once: int
    longest: int
    burst: int
    """So many ask at once at the beginning, 400 a second."""
    html: int
    hostile: int
    failing: int
    slow: int
    seed: int = 1
    hang_seconds: float = 900.0


FULL = Plan(
    2000,
    50,
    {"worker": 7, "web": 7, "valkey": 6, "hang": 3, "lock": 3},
    cancels=300,
    reconnects=300,
    at_once=120,
    longest=60,
    burst=400,
    html=300,
    hostile=100,
    failing=100,
    slow=100,
)
REDUCED = Plan(
    150,
    10,
    {"worker": 2, "web": 2, "valkey": 1, "hang": 1, "lock": 1},
    cancels=30,
    reconnects=30,
    at_once=40,
    longest=80,
    burst=30,
    html=30,
    hostile=10,
    failing=10,
    slow=10,
    hang_seconds=240,
)
FULL_ALONE = Plan(
    500,
    20,
    {"server": 6, "hang": 2, "lock": 2, "second": 2, "disk": 3, "vanish": 3},
    cancels=80,
    reconnects=80,
    at_once=60,
    longest=60,
    burst=100,
    html=100,
    hostile=40,
    failing=30,
    slow=30,
)
REDUCED_ALONE = Plan(
    80,
    8,
    {"server": 1, "hang": 1, "lock": 1, "second": 1, "disk": 1, "vanish": 1},
    cancels=10,
    reconnects=10,
    at_once=30,
    longest=60,
    burst=20,
    html=20,
    hostile=8,
    failing=5,
    slow=5,
    hang_seconds=240,
)


@dataclass
class Report:
    """What was counted, and every broken promise in a sentence."""

    counts: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{name:<44} {value}" for name, value in self.counts.items()]
        lines += [f"BROKEN: {sentence}" for sentence in self.broken[:50]]
        lines.append("every promise was kept" if not self.broken else f"{len(self.broken)} broken")
        return "\n".join(lines)
