"""Log probabilities in the form that completions of a bare text have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TextLogprobs:
    """Turns the log probabilities of a chat completion into parallel lists, and counts where each
    token begins in the answer's text."""

    def __init__(self) -> None:
        self._chars = 0

    def add(self, logprobs: Mapping[str, Any] | None) -> dict[str, list[Any]] | None:
        """Return the lists for the tokens that come next; None where there are none."""
        tokens = (logprobs or {}).get("content") or ()
        if not tokens:
            return None
        lists: dict[str, list[Any]] = {
            "tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []
        }  # fmt: skip
        for token in tokens:
            lists["tokens"].append(token["token"])
            lists["token_logprobs"].append(token["logprob"])
            others = token.get("top_logprobs") or ()
            lists["top_logprobs"].append({each["token"]: each["logprob"] for each in others})
            lists["text_offset"].append(self._chars)
            self._chars += len(token["token"])
        return lists
