"""How an answer ended, in OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streaming.api import output_reader
from streaming.api.answers import FinishReason, Usage
from streaming.engine.passed import Passed
from streaming.protocol.response_events import TERMINAL_TYPES
from streaming.protocol.response_resource import ResponseResource

_FINISH_REASONS: Mapping[str, FinishReason] = {"completed": "stop", "incomplete": "length"}
_TOLD: tuple[FinishReason, ...] = ("tool_calls", "content_filter")
"""Reasons that say more than the status."""


def is_end(event: Mapping[str, Any]) -> bool:
    """Return whether this is the last event of a response."""
    return event["type"] in TERMINAL_TYPES


@dataclass(frozen=True, slots=True)
class End:
    """An ended response: the `resource` without its output, which is `text`, `thought` and `passed`
    (as `engine.passed` describes it)."""

    resource: ResponseResource
    text: str
    thought: str
    passed: Passed

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> End:
        """Read the last event of a response. Items of a kind that chat completions do not know are
        left out."""
        response = event["response"]
        items = response["output"]
        return cls(
            ResponseResource.model_validate({**response, "output": []}),
            output_reader.text_of(items),
            output_reader.thought_of(items),
            output_reader.passed_of(items),
        )

    @property
    def is_answer(self) -> bool:
        """Return whether there is an answer, though it may be cut."""
        return self.resource.status in _FINISH_REASONS

    @property
    def finish_reason(self) -> FinishReason:
        """Return why it ended; only where there is an answer."""
        details = self.resource.incomplete_details
        told = (self.resource.chatstream.finish_reason, details and details.reason)
        found = next((reason for reason in _TOLD if reason in told), None)
        return found or _FINISH_REASONS[self.resource.status]

    def usage(self, passed: Passed) -> Usage:
        """Return the tokens of the answer, with the details that are known, and those that a server
        has `passed` on."""
        usage = self.resource.usage
        if usage is None:
            return Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        details = dict(passed.get("usage", {}))
        for name, field, count in (
            ("prompt_tokens_details", "cached_tokens", usage.input_tokens_details.cached_tokens),
            (
                "completion_tokens_details",
                "reasoning_tokens",
                usage.output_tokens_details.reasoning_tokens,
            ),
        ):
            if count:
                details[name] = {**details.get(name, {}), field: count}
        return Usage(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
            **details,
        )
