"""What stands besides the text of an event and is not what it should be: it counts for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.engine.upstream.chat_stream import ChatReader

HUGE = "9" * 400  # an integer that no float can hold


def passed(choice: str) -> dict[str, Any]:
    return ChatReader().piece_of(json.loads(f'{{"choices": [{choice}]}}')).passed


@pytest.mark.parametrize("number", [HUGE, f"-{HUGE}", "1e999", "NaN", "null", '"x"', "-1e300"])
def test_what_is_no_logarithm_is_hardly_possible(number: str) -> None:
    token = f'{{"token": "a", "logprob": {number}, "bytes": [97, {HUGE}]}}'
    (told,) = passed(f'{{"logprobs": {{"content": [{token}]}}}}')["logprobs"]["content"]
    assert told == {"token": "a", "logprob": -9999.0, "bytes": [97], "top_logprobs": []}


@pytest.mark.parametrize("index", [True, -1, 128, "0", 0.0, None])
def test_a_call_needs_a_number(index: Any) -> None:
    call = json.dumps({"index": index, "function": {"name": "f", "arguments": "{}"}})
    assert passed(f'{{"delta": {{"tool_calls": [{call}]}}}}') == {}


@pytest.mark.parametrize("score", ["NaN", "-Infinity", "1e999", '"\\u0000"'])
def test_a_note_that_no_database_takes_is_left_out(score: str) -> None:
    """An end with one could not be written, and would never come."""
    note = f'{{"type": "url_citation", "score": {score}}}'
    kept = '{"type": "url_citation", "score": 0.5}'
    told = passed(f'{{"delta": {{"annotations": [{note}, {kept}]}}}}')
    assert told == {"annotations": [json.loads(kept)]}
