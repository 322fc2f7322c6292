"""What a long answer costs its reader's browser: shifts, script per frame, slow keys."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

_OBSERVE = """
window.seen_ = { shifts: [], keys: [] };
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    const nodes = sources.map(({ node }) => node).filter((node) => node?.nodeType === 1);
    const moved = nodes.map((node) => node.outerHTML.slice(0, 80));
    window.seen_.shifts.push([value, hadRecentInput, moved]);
  }
}).observe({ type: "layout-shift" });
new PerformanceObserver((list) => {
  for (const { name, duration } of list.getEntries()) window.seen_.keys.push([name, duration]);
}).observe({ type: "event", durationThreshold: 16 });
"""
"""Chromium counts each keystroke as an input after which shifts are expected for 500 ms; here a
shift counts all the same. An event that took less than 16 ms has no entry."""

_SCRIPTS = ("FunctionCall", "EvaluateScript", "FireAnimationFrame", "TimerFire", "RunMicrotasks")


@dataclass
class Smoothness:
    """What was seen while an answer came."""

    shifts: list[tuple[float, list[str]]] = field(default_factory=list)
    """Each layout shift's score, and what moved."""

    keys: list[tuple[str, float]] = field(default_factory=list)
    """Milliseconds from each slow key event to the next paint (Event Timing, steps of 8 ms)."""

    scripts: list[float] = field(default_factory=list)
    """Milliseconds of the page's thread in scripts, frame by frame: its processor's time, which
    does not grow because others use the machine."""

    @property
    def key_median(self) -> float:
        """Return the median of the slow key events, in ms. Higher percentiles tell how busy the
        machine is: they are printed, not tested."""
        return statistics.median(ms for _, ms in self.keys) if self.keys else 0.0

    @property
    def script_p95(self) -> float:
        """Return the 95th percentile of a frame's scripts, in ms."""
        return statistics.quantiles(self.scripts, n=20)[-1]

    def __str__(self) -> str:
        keys = sorted(ms for _, ms in self.keys) or [0.0]
        at = [f"p{share} {keys[len(keys) * share // 100]:.0f}" for share in (50, 75, 95, 99)]
        return (
            f"{len(self.scripts)} frames, script p95 {self.script_p95:.2f} ms; {len(keys)} key "
            f"events of 16 ms and more: {', '.join(at)} ms; {len(self.shifts)} shifts, "
            f"{max((score for score, _ in self.shifts), default=0.0):.4f} at most"
        )


@contextmanager
def watched(browser: Browser, page: Page, trace: Path) -> Iterator[Smoothness]:
    """Watch a page while the block runs; what was seen is in the value afterwards."""
    seen = Smoothness()
    page.evaluate(_OBSERVE)
    browser.start_tracing(page=page, path=trace, categories=["devtools.timeline", "v8.execute"])
    try:
        yield seen
    finally:
        browser.stop_tracing()
    found: dict[str, Any] = page.evaluate("window.seen_")
    seen.shifts = [(value, moved) for value, _, moved in found["shifts"]]
    seen.keys = [(name, ms) for name, ms in found["keys"]]
    seen.scripts = _scripts_by_frame(json.loads(trace.read_text())["traceEvents"])


def _scripts_by_frame(events: list[dict[str, Any]]) -> list[float]:
    """Each frame's script, in ms of thread time: all outermost script events from the frame before
    until the end of its own callbacks."""
    calls = [each for each in events if each["name"] in _SCRIPTS and "tdur" in each]
    threads = [(each["pid"], each["tid"]) for each in calls]
    busiest = max(set(threads), key=threads.count)
    calls = [each for each in calls if (each["pid"], each["tid"]) == busiest]
    calls.sort(key=lambda each: (each["ts"], -each["dur"]))
    frames: list[float] = []
    sum_ms, end = 0.0, 0
    for call in calls:
        if call["ts"] < end:
            continue  # within another
        end = call["ts"] + call["dur"]
        sum_ms += call["tdur"] / 1000
        if call["name"] == "FireAnimationFrame":
            frames.append(sum_ms)
            sum_ms = 0.0
    return frames
