"""The Lua scripts of the waiting list in Redis: put together from `lua/`, run by their hash."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from streaming.waiting_list.base import MAX_ATTEMPTS, RECENT_KEPT, SAMPLES_KEPT, WAITS_KEPT
from streaming.waiting_list.preference import LOOK_AHEAD, PREFIXES_KEPT

_CONSTANTS = "\n".join(
    (
        f"local MAX_ATTEMPTS, RECENT_KEPT = {MAX_ATTEMPTS}, {RECENT_KEPT}",
        f"local WAITS_KEPT, SAMPLES_KEPT = {WAITS_KEPT}, {SAMPLES_KEPT}",
        f"local LOOK_AHEAD, PREFIXES_KEPT = {LOOK_AHEAD}, {PREFIXES_KEPT}",
    )
)
_COMMON = ("prelude", "fair_order", "ending", "preference")


@cache
def _script(name: str) -> tuple[str, str]:
    """The text of a script and its hash."""
    folder = files("streaming.waiting_list") / "lua"
    parts = [(folder / f"{part}.lua").read_text("utf-8") for part in (*_COMMON, name)]
    text = "\n".join([_CONSTANTS, *parts])
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """`client` gives the running event loop's client; `keys` go before every script's arguments."""

    def __init__(self, client: Callable[[], Redis], keys: tuple[str, ...]) -> None:
        self._client = client
        self._keys = keys

    async def run(self, name: str, *args: str | int) -> Any:
        """A script's answer, which is one JSON text."""
        text, sha = _script(name)
        client = self._client()
        keys_and_args = (*self._keys, *args)
        try:
            reply = await client.evalsha(sha, len(self._keys), *keys_and_args)
        except NoScriptError:  # a server that has just (re)started
            reply = await client.eval(text, len(self._keys), *keys_and_args)
        return json.loads(reply)
