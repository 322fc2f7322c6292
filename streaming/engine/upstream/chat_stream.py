"""Reads the chunks of Chat Completions."""

from __future__ import annotations

from typing import Any

from streaming.engine.passed import Passed
from streaming.engine.upstream import passed_fields
from streaming.engine.upstream.passed_fields import as_object, count_of
from streaming.engine.upstream.stream import Piece
from streaming.engine.upstream.surrogates import SurrogateJoiner
from streaming.engine.upstream.unknown_names import UnknownNames

_CHUNK = frozenset(
    [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "timings",
        "obfuscation",
        "error",
        "provider",
    ]
)
_CHOICE = frozenset(
    [
        "index",
        "delta",
        "finish_reason",
        "native_finish_reason",
        "stop_reason",
        "matched_stop",
        "logprobs",
        "token_ids",
    ]
)
_TEXTS = frozenset({"role", "content", "reasoning_content", "reasoning"})
_DELTA = _TEXTS | {"refusal", "tool_calls", "annotations"}
"""Fields that are passed on, or that tell nothing of the answer."""


class ChatReader:
    """Reads the chunks of one answer. Unknown fields are named to `unknown`; values of the wrong
    kind are ignored."""

    is_over = False  # the usage may follow the reason to end

    def __init__(self, unknown: UnknownNames | None = None) -> None:
        self._unknown = unknown or UnknownNames()
        self._joiner = SurrogateJoiner()
        self._tier = ""

    def piece_of(self, chunk: dict[str, Any]) -> Piece:
        """Read one chunk. Raises UpstreamFault for a call that cannot be passed on."""
        choices, usage = chunk.get("choices"), as_object(chunk.get("usage"))
        choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
        delta = as_object(choice.get("delta"))
        self._name("field", chunk, _CHUNK)
        self._name("field of a choice", choice, _CHOICE)
        self._name("field of a delta", delta, _DELTA)
        joiner = self._joiner
        said = _text(delta.get("content"))
        text = joiner.join("text", said)
        # Some servers send the thought by both names.
        thought = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        reasoning = joiner.join("reasoning", thought)
        reason = choice.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            reason = None
        else:
            text += joiner.rest("text")
            reasoning += joiner.rest("reasoning")
        passed: Passed = {}
        if choice.get("logprobs") or not _TEXTS.issuperset(delta):
            passed = passed_fields.passed_of(choice, delta, joiner)
        if reason or not choice:  # with each chunk they would be told again and again
            passed |= passed_fields.details_of(usage)
            if (tier := passed_fields.tier_of(chunk)) and tier != self._tier:
                self._tier = passed["service_tier"] = tier
        details = as_object(usage.get("completion_tokens_details"))
        return Piece(
            text=text,
            reasoning=reasoning,
            has_output=bool(said or thought or passed.keys() & {"tool_calls", "refusal"}),
            reason=reason,
            prompt_tokens=count_of(usage.get("prompt_tokens")),
            completion_tokens=count_of(usage.get("completion_tokens")),
            reasoning_tokens=count_of(details.get("reasoning_tokens")),
            passed=passed,
        )

    def end(self) -> Piece:
        """Return the end of an answer that ends without a `finish_reason`: it has stopped."""
        rest = self._joiner.rest("text"), self._joiner.rest("reasoning")
        return Piece(*rest, reason="stop")

    def _name(self, where: str, found: dict[str, Any], known: frozenset[str]) -> None:
        if not known.issuperset(found):
            unknown = found.keys() - known
            self._unknown.note(where, (name for name in unknown if found[name] not in _NOTHING))


_NOTHING: tuple[Any, ...] = (None, "", [], {})


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts
        return "".join(_text(as_object(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""
