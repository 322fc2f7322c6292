"""Sentences for people: on positions, service, ends and errors."""

from __future__ import annotations

import math

from streaming.client import (
    ChatError,
    FunctionCallItem,
    MessageItem,
    QueueLoad,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseResource,
    SessionCreated,
)
from streaming.client.growing import text_of
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
    eta = _range(place.eta_seconds, place.eta_low_seconds, place.eta_high_seconds, elapsed)
    if eta:
        parts.append(eta)
    service = of_service(place.service)
    return ", ".join(parts) + "." + (f" {service}" if service else "")


def of_load(load: QueueLoad) -> str:
    """Return a sentence on what somebody meets who asks now, empty where a place is free."""
    if not load.waiting and load.running < load.capacity:
        return ""
    wait = "1 prompt waits now" if load.waiting == 1 else f"{load.waiting} prompts wait now"
    eta = _range(load.eta_seconds, load.eta_low_seconds, load.eta_high_seconds)
    return ", ".join([wait, *([eta] if eta else [])]) + "."


def _range(seconds: float | None, low: float | None, high: float | None, elapsed: float = 0) -> str:
    """Return about how long a wait is, `elapsed` seconds after it was told; empty where unknown."""
    if seconds is None:
        return ""
    if low is None or high is None:
        return f"about {_duration(seconds - elapsed)}"
    least, most = _duration(low - elapsed), _duration(high - elapsed)
    if least == most:
        return f"about {least}"
    unit = most.partition(" ")[2]
    return f"about {least.removesuffix(f' {unit}')} to {most}"


def _duration(seconds: float) -> str:
    whole = max(1, math.ceil(seconds))
    return f"{whole} s" if whole < 100 else f"{round(whole / 60)} min"


def of_end(done: ResponseResource, *, stopped: bool) -> str:
    """Return a sentence on how an answer ended, empty if it is complete and not blank."""
    if done.status == "completed":
        return "" if _says_something(done) else "The model wrote nothing."
    if done.status == "incomplete":
        reason = done.incomplete_details.reason if done.incomplete_details else ""
        if reason == "content_filter":
            return "The rest of the answer was withheld."
        return "The answer was cut at its token limit."
    if done.status == "cancelled":
        return "Stopped." if stopped else "The answer was cancelled."
    if done.error:
        return f"The answer failed: {visible(done.error.message)} ({visible(done.error.code)})"
    return "The answer failed."


def _says_something(done: ResponseResource) -> bool:
    """Return whether an answer has text that is not blank, a refusal or a call."""
    for item in done.output:
        if isinstance(item, FunctionCallItem):
            return True
        if isinstance(item, MessageItem) and any(
            is_visible(text_of(part)) for part in item.content
        ):
            return True
    return False


def of_call(call: FunctionCallItem) -> str:
    """Return a sentence on a function that the model calls, safe to print in a terminal."""
    return f"The model calls {visible(call.name)}({visible(call.arguments)})"


def of_refusal(text: str) -> str:
    """Return a sentence with the words in which a model refuses, safe to print in a terminal."""
    return f"The model refuses: {visible(text)}"


def of_thought(milliseconds: int) -> str:
    """Return a sentence on how long the model has thought."""
    return f"Thought for {_duration(milliseconds / 1000)}."


def of_error(error: ChatError) -> str:
    """Return an error's message and code, safe to print in a terminal."""
    return f"{visible(error.message)} ({visible(error.code)})"


def of_instructions(text: str | None) -> str:
    """Return what holds as a conversation's own instructions; None if nobody has said."""
    if text is None:
        return "No instructions of this conversation's own."
    return f"Instructions: {visible(text)}" if text.strip() else "No instructions."


def of_model(session: SessionCreated | None) -> str:
    """Return what the server says of its model, a line for each fact that is known."""
    if session is None or not session.model:
        return "No model is loaded yet."
    lines = [visible(session.model)]
    card, limits = session.card, session.limits
    if card and card.parameters:
        lines.append(f"Parameters: {_amount(card.parameters)}")
    if card and card.dtype:
        lines.append(f"Weights: {visible(card.dtype)}")
    if limits.context_tokens:
        lines.append(f"Context: {limits.context_tokens:,} tokens")
    lines.append(f"Longest answer: {limits.max_tokens:,} tokens")
    lines.append(f"Thinks before it answers: {'yes' if session.thinks else 'no'}")
    if card and card.takes_system is not None:
        place = "as a system message" if card.takes_system else "before the first prompt"
        lines.append(f"Instructions: {place}")
    if session.sampling:
        values = ", ".join(f"{name} {value:g}" for name, value in session.sampling.items())
        lines.append(f"Sampling: {visible(values)}")
    return "\n".join(lines)


def _amount(parameters: int) -> str:
    """Return a number of parameters as people name it: 135M, 1.2B."""
    if parameters < 1_000_000:
        return f"{parameters:,}"
    billions = parameters / 1e9
    return f"{billions:.3g}B" if billions >= 1 else f"{parameters / 1e6:.0f}M"
