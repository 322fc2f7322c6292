"""What is known of the ways of one server, and a request in its words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from streaming.engine.base import ChatMessage, SamplingParams, Thinking
from streaming.engine.upstream import chat_request, responses_request, text_request
from streaming.engine.upstream.query import Api, Query, Wanted
from streaming.engine.upstream.surrogates import whole

CONTINUING = {
    Api.CHAT: {"vllm", "sglang", "llamacpp", "library"},
    Api.RESPONSES: {"vllm"},
}
"""Servers that continue an assistant's message, by the `owned_by` of their models; `library` is
Ollama's."""

_NEVER_ECHOING = {"vllm", "sglang", "library"}
"""Servers that do not repeat the message that they continue."""

_THOUGHTS_IN_ITEMS = (".openai.com", ".openai.azure.com")
"""Hosts that tell what their models think by Responses alone."""


def first_api(url: str) -> Api:
    """Return the API that is tried first at this base URL.

    Chat Completions carries more for servers that people run: seeds, stop strings, other sampling
    parameters and an answer's beginning have a place in it. OpenAI's own says thoughts in Responses
    alone.
    """
    host = f".{urlsplit(url).hostname or ''}"
    return Api.RESPONSES if host.endswith(_THOUGHTS_IN_ITEMS) else Api.CHAT


class Dialect:
    """What is known of the server's ways.

    - `server`: its kind, the model's `owned_by`
    - `api`: which API it is asked by; `is_api_certain`: it has answered by it, or the operator says
      so
    - `continues`: whether it continues an assistant's message; None: by its kind
    - `refused`: fields that it does not accept; `refused_with_text`: beside a bare text
    - `echoes`: whether it repeats what it is to continue; None: nobody has asked yet, which one
      response at a time does (`asking`)
    - `thinks`: it has told a thought; `thinks_again`: even where it was to go on with a text
    - `refuses_images`, `refuses_tools`: it has said that its model takes none
    """

    def __init__(
        self, continues: bool | None = None, api: Api = Api.CHAT, *, is_api_set: bool = False
    ) -> None:
        self.server = ""
        self.api = api
        self.is_api_certain = self._is_api_set = is_api_set
        self._continues = continues
        self.refused: set[str] = set()
        self.refused_with_text: set[str] = set()
        self.echoes: bool | None = None
        self.thinks = self.thinks_again = False
        self.refuses_images = self.refuses_tools = False
        self.asking = asyncio.Lock()

    def begin_anew(self, server: str) -> None:
        """Forget what may be otherwise with another server or model at the same address."""
        self.server = server
        self.refuses_images = self.refuses_tools = False
        self.is_api_certain = self._is_api_set

    def accept(self, left_out: set[str]) -> None:
        """Take note that the server answers a request by this API without these fields."""
        self.refused |= left_out
        self.is_api_certain = True

    @property
    def completes_text(self) -> bool:
        """Return whether the server goes on with a bare text as it is, as far as is known."""
        return self.server not in text_request.TEMPLATED

    def switch_from(self, api: Api) -> bool:
        """Ask by the other API from now on, since the server does not have this one; return False
        if it is known to have it."""
        if self.is_api_certain and self.api is api:
            return False
        if self.api is api:
            self.api = api.other
            self.refused, self.echoes = set(), None
        return True

    @property
    def continues(self) -> bool:
        """Return whether the server continues an assistant's message."""
        known = self.server in CONTINUING[self.api]
        return known if self._continues is None else self._continues

    def may_echo(self, query: Query) -> bool:
        """Return whether the server may repeat the last message of this request before it goes
        on."""
        if not query.goes_on or self.server in _NEVER_ECHOING:
            return False
        return self.server != "llamacpp" or "continue_final_message" not in query.body

    def query(
        self,
        model: str,
        messages: Sequence[ChatMessage],
        params: SamplingParams,
        thinking: Thinking,
        max_tokens: int,
        left_out: set[str],
    ) -> Query:
        """Return the request, without fields that are refused or `left_out`.

        A last message of the assistant's is to be continued. Raises UpstreamFault for parts of a
        content that the API has no place for.
        """
        with_thoughts = params.passed is not None
        wanted = Wanted(
            model, messages, params, thinking, max_tokens, self.server, with_thoughts=with_thoughts
        )
        api = self.api
        without = (self.refused - asked_of(api, thinking).keys()) | left_out
        body = _words_of(api).body_of(wanted, without)
        return Query(api, body, max_tokens, whole(wanted.goes_on))


_WORDS: dict[Api, Any] = {
    Api.CHAT: chat_request,
    Api.RESPONSES: responses_request,
    Api.TEXT: text_request,
}


def _words_of(api: Api) -> Any:
    return _WORDS[api]


def asked_of(api: Api, thinking: Thinking) -> dict[str, Any]:
    """Return the fields of thinking that the request set itself: they are never left out."""
    fields: dict[str, Any] = _words_of(api).asked_of(thinking)
    return fields


def complained_of(query: Query, complaint: str, asked: Collection[str]) -> set[str]:
    """Return the fields to leave out of a refused request: the optional ones that the complaint
    names, or else all optional ones, without those that were `asked` for. Empty if there are
    none."""
    body = query.body
    inner = {*body, *body.get("stream_options", {})}
    sent = {name for name in _words_of(query.api).OPTIONAL if name in inner and name not in asked}
    named = {name for name in sent if re.search(rf"\b{name}\b", complaint)}
    if "max_completion_tokens" in complaint and "max_tokens" in body:
        named.add("max_tokens")  # it wants the newer name
    return named or _thoughts_in(query, complaint) or sent


def _thoughts_in(query: Query, complaint: str) -> set[str]:
    """The field by which the request holds thoughts of earlier turns, if the complaint names it."""
    if query.api is Api.TEXT:
        return set()
    if query.api is Api.CHAT:
        has_some = any("reasoning_content" in each for each in query.body["messages"])
        return {"reasoning_content"} if has_some and "reasoning_content" in complaint else set()
    has_some = any(each["type"] == "reasoning" for each in query.body["input"])
    return {"thoughts"} if has_some and re.search(r"\b(reasoning|rs_\d+)\b", complaint) else set()
