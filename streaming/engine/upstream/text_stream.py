"""Reads the chunks of Completions."""

from __future__ import annotations

from typing import Any

from streaming.engine.upstream import passed_fields
from streaming.engine.upstream.passed_fields import as_object, count_of
from streaming.engine.upstream.stream import Piece
from streaming.engine.upstream.surrogates import SurrogateJoiner
from streaming.engine.upstream.unknown_names import UnknownNames

_CHUNK = {
    "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier",
    "timings", "error", "provider",
}  # fmt: skip
_CHOICE = {
    "index", "text", "finish_reason", "native_finish_reason", "stop_reason", "matched_stop",
    "logprobs", "token_ids", "prompt_logprobs", "prompt_token_ids",
}  # fmt: skip
"""Fields that are passed on, or that tell nothing of the answer."""


class TextReader:
    """Reads the chunks of what follows one text. Unknown fields are named to `unknown`."""

    is_over = False  # the usage may follow the reason to end

    def __init__(self, unknown: UnknownNames | None = None) -> None:
        self._unknown = unknown or UnknownNames()
        self._joiner = SurrogateJoiner()

    def piece_of(self, chunk: dict[str, Any]) -> Piece:
        """Read one chunk; values of the wrong kind are ignored."""
        choices, usage = chunk.get("choices"), as_object(chunk.get("usage"))
        choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
        self._name("field", chunk, _CHUNK)
        self._name("field of a choice", choice, _CHOICE)
        said = choice.get("text")
        said = said if isinstance(said, str) else ""
        text = self._joiner.join("text", said)
        reason = choice.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            reason = None
        else:
            text += self._joiner.rest("text")
        logprobs = {"content": _tokens(as_object(choice.get("logprobs")))}
        passed = passed_fields.passed_of({"logprobs": logprobs}, {}, self._joiner)
        if reason or not choice:  # with each chunk they would be told again and again
            passed |= passed_fields.details_of(usage)
        return Piece(
            text=text,
            has_output=bool(said),
            reason=reason,
            prompt_tokens=count_of(usage.get("prompt_tokens")),
            completion_tokens=count_of(usage.get("completion_tokens")),
            passed=passed,
        )

    def end(self) -> Piece:
        """Return the end of an answer that ends without a `finish_reason`: it has stopped."""
        return Piece(self._joiner.rest("text"), reason="stop")

    def _name(self, where: str, found: dict[str, Any], known: set[str]) -> None:
        if names := [name for name in found.keys() - known if found[name]]:
            self._unknown.note(where, names)


def _tokens(logprobs: dict[str, Any]) -> list[dict[str, Any]]:
    """The log probabilities in the form of Chat Completions, which some servers have here, too."""
    if isinstance(content := logprobs.get("content"), list):
        return content
    tokens, numbers = _list(logprobs, "tokens"), _list(logprobs, "token_logprobs")
    others = _list(logprobs, "top_logprobs")
    found = []
    for at, (token, number) in enumerate(zip(tokens, numbers, strict=False)):
        likely = as_object(others[at]) if at < len(others) else {}
        top = [{"token": name, "logprob": value} for name, value in likely.items()]
        found.append({"token": token, "logprob": number, "top_logprobs": top})
    return found


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []
