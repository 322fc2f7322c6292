"""Any OpenAI-compatible server, by its address: vLLM, SGLang, TGI, llama.cpp, Ollama, ours."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import httpx

from benchmarks.systems.base import Stream, System

PATIENCE_SECONDS = 600.0


class OpenAIServer(System):
    """`url` is the base of its API, such as `http://127.0.0.1:8080/v1`."""

    name = "peer"

    def __init__(self, url: str, model: str = "") -> None:
        self._url = url.rstrip("/")
        self._model = model
        self.name = url

    def start(self) -> None:
        """Raises RuntimeError if the server does not say which models it has."""
        if self._model:
            return
        try:
            answer = httpx.get(f"{self._url}/models", timeout=30).raise_for_status().json()
            self._model = answer["data"][0]["id"]
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise RuntimeError(f"{self._url}/models names no model: {error!r}") from error

    def close(self) -> None:
        """Do nothing: the server is somebody else's."""
        return None

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer all prompts at once, by greedy decoding."""
        return asyncio.run(self._answer_all(prompts, max_tokens))

    async def _answer_all(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        limits = httpx.Limits(max_connections=len(prompts))
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits) as client:
            return await asyncio.gather(*(self._ask(client, p, max_tokens) for p in prompts))

    async def _ask(self, client: httpx.AsyncClient, prompt: str, max_tokens: int) -> Stream:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": max_tokens,
            "ignore_eos": True,  # who does not know it leaves it out of account
        }
        stream = Stream()
        async with client.stream("POST", f"{self._url}/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                text = (await answer.aread()).decode(errors="replace")[:300]
                raise RuntimeError(f"{self._url} answered {answer.status_code}: {text}")
            async for line in answer.aiter_lines():
                if not line.startswith("data:") or line.endswith("[DONE]"):
                    continue
                chunk = json.loads(line.removeprefix("data:"))
                if "error" in chunk:
                    raise RuntimeError(f"{self._url} ended an answer: {chunk['error']}")
                if (chunk.get("choices") or [{}])[0].get("delta", {}).get("content"):
                    stream.moments.append(time.perf_counter())
                if usage := chunk.get("usage"):
                    stream.tokens = usage["completion_tokens"]
                    stream.prompt_tokens = usage["prompt_tokens"]
        stream.ended, stream.status = time.perf_counter(), "done"
        stream.tokens = stream.tokens or len(stream.moments)
        return stream
