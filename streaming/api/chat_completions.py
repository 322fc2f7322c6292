"""Chat completions: messages in, a message out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.api import beside, passing, served
from streaming.api.answers import ChatCompletion, Choice
from streaming.api.attaching import attached
from streaming.api.completions import Completion
from streaming.api.endings import End
from streaming.api.request_messages import messages_of
from streaming.api.requests import ChatCompletionRequest, params_of
from streaming.engine.passed import Passed
from streaming.record.tasks import History, Requester, Task
from streaming.waiting_list.serving import model_details


class ConversationCompletion(Completion):
    """The answer to a conversation."""

    id_prefix = "chatcmpl"
    chunk_object = "chat.completion.chunk"

    def __init__(
        self, layer: BaseChannelLayer, request: ChatCompletionRequest, response_id: UUID
    ) -> None:
        super().__init__(layer, request.model, response_id, include_usage=request.include_usage)
        self._request = request

    async def _ask(self, requester: Requester) -> tuple[Task, dict[str, Any]]:
        to_server = await served.is_upstream(self._layer)
        model = await model_details(self._layer)
        passed = passing.passed_on(self._request, to_server=to_server)
        messages = messages_of(self._request.messages, to_server=to_server)
        params = params_of(self._request, model)
        if passed is not None:
            params["passed"] = passed
        return History(await attached(messages, requester, model)), params

    def _whole(self, end: End, passed: Passed) -> ChatCompletion:
        choice = Choice(
            message=beside.message_of(end.text, end.thought, passed),
            finish_reason=end.finish_reason,
            logprobs=passed.get("logprobs"),
        )
        return ChatCompletion(
            id=self._id,
            **self._origin(),
            choices=[choice],
            usage=end.usage(passed),
            chatstream=self._end_of(end),
        )

    @property
    def _opening(self) -> dict[str, Any]:
        return {"role": "assistant", "content": ""}

    def _choice(self, said: Mapping[str, Any], logprobs: Mapping[str, Any] | None) -> Any:
        return {"index": 0, "delta": dict(said), "logprobs": logprobs}
