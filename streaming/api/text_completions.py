"""Completions of a bare text: text in, what follows it out, with no chat template between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.api import served
from streaming.api.answers import TextChoice, TextCompletion
from streaming.api.completions import Completion
from streaming.api.endings import End
from streaming.api.errors import ApiError
from streaming.api.text_logprobs import TextLogprobs
from streaming.api.text_requests import TextCompletionRequest, params_of, prompt_of
from streaming.engine.base import ChatMessage
from streaming.engine.passed import Passed
from streaming.record.tasks import History, Requester, Task
from streaming.waiting_list.serving import model_details


class BareTextCompletion(Completion):
    """What follows a text."""

    id_prefix = "cmpl"
    chunk_object = "text_completion"

    def __init__(
        self, layer: BaseChannelLayer, request: TextCompletionRequest, response_id: UUID
    ) -> None:
        super().__init__(layer, request.model, response_id, include_usage=request.include_usage)
        self._request = request
        self._logprobs = TextLogprobs()

    async def _ask(self, requester: Requester) -> tuple[Task, dict[str, Any]]:
        model = await model_details(self._layer)
        if model and not model.get("completes_text"):
            text = "This model takes conversations only; send them to `/v1/chat/completions`."
            raise ApiError(400, "unsupported_value", text, "model")
        params = params_of(self._request, to_server=await served.is_upstream(self._layer))
        return History((ChatMessage("user", prompt_of(self._request)),)), params

    def _whole(self, end: End, passed: Passed) -> TextCompletion:
        choice = TextChoice(
            text=self._begin + end.text,
            finish_reason=end.finish_reason,
            logprobs=self._logprobs.add(passed.get("logprobs")),
        )
        return TextCompletion(
            id=self._id,
            **self._origin(),
            choices=[choice],
            usage=end.usage(passed),
            chatstream=self._end_of(end),
        )

    @property
    def _begin(self) -> str:
        return self._request.prompt if self._request.echo else ""

    @property
    def _opening(self) -> dict[str, Any]:
        return {"content": self._begin}

    def _choice(self, said: Mapping[str, Any], logprobs: Mapping[str, Any] | None) -> Any:
        text = said.get("content", "")
        return {"index": 0, "text": text, "logprobs": self._logprobs.add(logprobs)}
