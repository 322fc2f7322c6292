"""The operations of `/v1/`, and the OpenAPI document that describes them."""

from __future__ import annotations

from typing import Any, cast

from channels.layers import get_channel_layer
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.parser import Parser
from ninja.types import DictStrAny

from streaming import conf
from streaming.api import half_characters, served, strict_json
from streaming.api.answers import (
    ChatCompletion,
    ChatCompletionChunk,
    ErrorBody,
    Model,
    ModelList,
    TextCompletion,
)
from streaming.api.auth import ApiKeyAuth
from streaming.api.chat_completions import ConversationCompletion
from streaming.api.completions import Completion
from streaming.api.conversations.views import router as conversations
from streaming.api.errors import ApiError, set_handlers, too_large
from streaming.api.files import router as files_router
from streaming.api.middleware import response_id_of
from streaming.api.replies import private, requester_of
from streaming.api.requests import ChatCompletionRequest
from streaming.api.responses.views import router as responses_router
from streaming.api.text_completions import BareTextCompletion
from streaming.api.text_requests import TextCompletionRequest

_REF = "#/components/schemas/{model}"

_DESCRIPTION = """\
Compatible with OpenAI's responses, chat completions and completions: point an `openai` client's
`base_url` here.

Requests stand in the same fair waiting list as everybody else's. A full list is a 429 with
`Retry-After`, before anything else is said. Leaving cancels: a closed connection gives up the
place, or ends the answer. The field `chatstream` is an extension."""


class JsonBody(Parser):
    """Strict JSON, whatever else a body may pass for. Only JSON, since a browser asks before it
    sends that to another site, and is told no."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        """Return the parsed body. Raises ApiError for one that is no JSON or too large."""
        if request.content_type != "application/json":
            message = "The body must be JSON: send `Content-Type: application/json`."
            raise ApiError(415, "unsupported_media_type", message)
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            message = f"The body is compressed ({encoding[:50]}); send it as it is."
            headers = {"Accept-Encoding": "identity"}
            raise ApiError(415, "unsupported_content_encoding", message, headers=headers)
        bound = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if bound is not None and len(request.body) > bound:  # it may have come without a length
            raise too_large()
        try:
            return cast(DictStrAny, strict_json.parsed(request.body))
        except ValueError as error:
            message = f"The body is not valid JSON: {error}."
            param = half_characters.field_of(request.body) if "hex escape" in message else None
            if param:
                message = f"`{param}` has half a character in it (a lone surrogate)."
            raise ApiError(400, "invalid_json", message, param) from None


class Api(NinjaAPI):
    """The API, whose OpenAPI document also describes what streams send."""

    def get_openapi_schema(self, **arguments: Any) -> Any:
        """Return the OpenAPI document, with the chunks of a stream and the errors."""
        document = super().get_openapi_schema(**arguments)
        chunk = ChatCompletionChunk.model_json_schema(ref_template=_REF, mode="serialization")
        document["components"]["schemas"] |= {
            **chunk.pop("$defs"),
            "ChatCompletionChunk": chunk,
        }
        if conf.get().anonymous:
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["security"].append({})  # or nothing
        return document


api = Api(
    title="ChatStream",
    version="1",
    description=_DESCRIPTION,
    urls_namespace="api",
    docs_url=None,
    auth=ApiKeyAuth(),
    parser=JsonBody(),
)
set_handlers(api)
api.add_router("/conversations", conversations)

_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}


def _docs(chunk: str) -> dict[str, Any]:
    """Return what the document says of an operation beside its models; `chunk` is that of its
    stream."""
    stream = {"schema": {"$ref": _REF.format(model=chunk)}}
    full = (
        "Too many requests: `rate_limit_exceeded`; `chatstream.code` says which bound: "
        "`queue_full`, `user_limit` or `address_limit`."
    )
    return {
        "responses": {
            200: {"content": {"text/event-stream": stream}},
            429: {"description": full, "headers": {"Retry-After": _RETRY_AFTER}},
            503: {"headers": {"Retry-After": _RETRY_AFTER}},
        }
    }


@api.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    summary="Answer a conversation",
    response={
        200: ChatCompletion,
        (400, 401, 404, 413, 415, 429, 500, 503, 504): ErrorBody,
    },
    openapi_extra=_docs("ChatCompletionChunk"),
)
async def create_chat_completion(
    request: HttpRequest, body: ChatCompletionRequest
) -> HttpResponseBase:
    """One JSON object or, with `stream`, server-sent events: `data:` lines with a chunk each, then
    `data: [DONE]`. A stream is never silent for more than 10 seconds: comments fill it, and tell
    the place in the queue. What fails within its first second is a status, as without `stream`;
    what fails later is a `data:` line with an `error`."""
    completion = ConversationCompletion(get_channel_layer(), body, response_id_of(request))
    return await _answer(request, completion, stream=bool(body.stream))


async def _answer(
    request: HttpRequest, completion: Completion, *, stream: bool
) -> HttpResponseBase:
    await completion.begin(requester_of(request))
    response: HttpResponseBase
    if stream:
        await completion.settle()
        response = StreamingHttpResponse(
            completion.stream(), content_type="text/event-stream; charset=utf-8"
        )
    else:
        whole = await completion.whole()
        response = HttpResponse(whole.model_dump_json(), content_type="application/json")
    response["X-Response-Id"] = str(response_id_of(request))
    return private(response)


@api.post(
    "/completions",
    operation_id="createCompletion",
    summary="Go on with a text",
    response={
        200: TextCompletion,
        (400, 401, 404, 413, 415, 429, 500, 503, 504): ErrorBody,
    },
    openapi_extra=_docs("TextCompletion"),
)
async def create_completion(request: HttpRequest, body: TextCompletionRequest) -> HttpResponseBase:
    """What the model writes after a text, as it is and without a chat template: models that were
    trained to chat answer better at `/v1/chat/completions`. With `stream` as there."""
    completion = BareTextCompletion(get_channel_layer(), body, response_id_of(request))
    return await _answer(request, completion, stream=bool(body.stream))


_MODEL_ERRORS: Any = (401, 500, 503)


@api.get(
    "/models",
    operation_id="listModels",
    summary="The models that answer",
    response={200: ModelList, _MODEL_ERRORS: ErrorBody},
)
async def list_models(request: HttpRequest) -> ModelList:
    """Those of the live workers. The name `default` stands for any of them."""
    return ModelList(data=await served.models(get_channel_layer()))


@api.get(
    "/models/{path:model}",
    operation_id="retrieveModel",
    summary="One model",
    response={200: Model, (404, *_MODEL_ERRORS): ErrorBody},
)
async def retrieve_model(request: HttpRequest, model: str) -> Model:
    """One model of the live workers."""
    return await served.find(get_channel_layer(), model)


api.add_router("/responses", responses_router)
api.add_router("/files", files_router)
