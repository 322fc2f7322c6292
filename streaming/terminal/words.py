"""Sentences for people: on positions, service, ends and errors."""

from __future__ import annotations

import math

from streaming.client import ChatError, ResponseDone, ResponseQueued, ResponseQueuePosition
from streaming.terminal.visible import is_visible, visible

_SERVICE = {
    "loading": "The model is being loaded; your prompt waits.",
    "paused": "The workers are paused; your prompt waits.",
    "draining": "No new answers are begun right now; your prompt waits.",
    "away": "No worker is there; your prompt waits for one.",
}


def of_service(service: str) -> str:
    """Return a sentence on what keeps the workers from claiming, empty if nothing does."""
    return _SERVICE.get(service, "")


def of_place(place: ResponseQueued | ResponseQueuePosition, elapsed: float = 0) -> str:
    """Return a sentence on a place in the queue, `elapsed` seconds after it was received."""
    parts = []
    if place.position is not None:
        ahead = place.position - 1
        people = "you are next" if not ahead else f"{ahead} ahead of you"
        parts.append(f"Position {place.position} of {place.size}, {people}")
    else:
        parts.append("Waiting")
    if place.eta_seconds is not None:
        parts.append(f"about {_duration(place.eta_seconds - elapsed)}")
    service = of_service(place.service)
    return ", ".join(parts) + "." + (f" {service}" if service else "")


def _duration(seconds: float) -> str:
    whole = max(1, math.ceil(seconds))
    return f"{whole} s" if whole < 100 else f"{round(whole / 60)} min"


def of_end(done: ResponseDone, *, stopped: bool) -> str:
    """Return a sentence on how an answer ended, empty if it is complete and not blank."""
    if done.status == "completed":
        return "" if is_visible(done.text) else "The model wrote nothing."
    if done.status == "incomplete":
        return "The answer was cut at its token limit."
    if done.status == "cancelled":
        return "Stopped." if stopped else "The answer was cancelled."
    if done.error:
        return f"The answer failed: {visible(done.error.message)} ({visible(done.error.code)})"
    return "The answer failed."


def of_thought(milliseconds: int) -> str:
    """Return a sentence on how long the model has thought."""
    return f"Thought for {_duration(milliseconds / 1000)}."


def of_error(error: ChatError) -> str:
    """Return an error's message and code, safe to print in a terminal."""
    return f"{visible(error.message)} ({visible(error.code)})"
