"""The Lua scripts of the waiting list in Redis: assembled from `lua/`, and run by their hash."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from streaming.system.command_line import program
from streaming.waiting_list.interface import (
    MAX_ATTEMPTS,
    RECENT_KEPT,
    SAMPLES_KEPT,
    WAITS_KEPT,
    WORKERS_GROUP,
    group_name,
)
from streaming.waiting_list.memory.cache_affinity import LOOK_AHEAD, PREFIXES_KEPT

FORMAT = 2
"""The number of the stored format, which `lua/prelude.lua` describes. A list in another format is
not touched. 2: the logs hold the events of items. Some lists of before have no number."""

_CONSTANTS = "\n".join(
    (
        f"local FORMAT = '{FORMAT}'",
        f"local MAX_ATTEMPTS, RECENT_KEPT = {MAX_ATTEMPTS}, {RECENT_KEPT}",
        f"local WAITS_KEPT, SAMPLES_KEPT = {WAITS_KEPT}, {SAMPLES_KEPT}",
        f"local LOOK_AHEAD, PREFIXES_KEPT = {LOOK_AHEAD}, {PREFIXES_KEPT}",
        # Channels on which channels_redis publishes the messages of groups, after the prefix.
        f"local EVENTS_NAME = '__group__{group_name('')}'",
        f"local WORKERS_NAME = '__group__{WORKERS_GROUP}'",
    )
)
_COMMON = ("prelude", "fair_order", "ending", "cache_affinity")


@cache
def _script(name: str) -> tuple[str, str]:
    """Return the text of a script and its SHA-1 hash."""
    folder = files("streaming.waiting_list.redis") / "lua"
    parts = [(folder / f"{part}.lua").read_text("utf-8") for part in (*_COMMON, name)]
    text = "\n".join([_CONSTANTS, *parts])
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


SiteId = Callable[[], Awaitable[str]]
"""Returns the id of this process's database."""


class OtherSite(RedisError):
    """The list under this prefix belongs to another database. Nothing was read or changed."""


class OtherFormat(RedisError):
    """The list under this prefix has another format. Nothing was read or changed."""


class Scripts:
    """The scripts of the list under one prefix.

    `client` returns the running event loop's client; `prefix` begins the name of every key. Every
    script first checks that the list has this version's format and belongs to the database of
    `site`; a list that belongs to none becomes that database's.
    """

    def __init__(self, client: Callable[[], Redis], prefix: str, site: SiteId | None) -> None:
        self._client = client
        self._prefix = prefix
        self._site = site
        self._site_id: str | None = None

    def mind_no_site(self) -> None:
        """No longer check to which database the list belongs."""
        self._site = None

    async def run(self, name: str, *args: str | int) -> Any:
        """Run a script and return its answer, parsed. Raises OtherSite or OtherFormat."""
        text, sha = _script(name)
        client = self._client()
        rest = (f"{self._prefix}:waiting:", *args, await self._known_site_id())
        try:
            try:
                reply = await client.evalsha(sha, 1, *rest)
            except NoScriptError:  # a server that has just (re)started
                reply = await client.eval(text, 1, *rest)
        except ResponseError as error:
            if "OTHERSITE" in str(error):
                raise OtherSite(other_site(self._prefix)) from None
            if "OTHERFORMAT" in str(error):
                raise OtherFormat(other_format(self._prefix)) from None
            raise
        return json.loads(reply)

    async def _known_site_id(self) -> str:
        if self._site is None:
            return ""
        if self._site_id is None:
            self._site_id = await self._site()
        return self._site_id


def other_site(prefix: str) -> str:
    """Return what to tell somebody whose prefix belongs to another database."""
    return (
        f"The prefix {prefix!r} in this Redis belongs to another database, and two sites must not "
        "share a waiting list. Give this site a prefix of its own, with CHATSTREAM_PREFIX. If "
        "this database has taken the other one's place, because it was made anew or restored, "
        f"run: {program()} takeprefix"
    )


def other_format(prefix: str) -> str:
    """Return what to tell somebody whose version cannot read the list."""
    return (
        f"The waiting list under the prefix {prefix!r} in this Redis was kept by another version "
        f"of ChatStream, in a format that this version (format {FORMAT}) does not know. End all "
        f"processes of the other version; then run: {program()} takeprefix --force, which "
        "drops that list. The database holds what is open: it is put back when a process starts."
    )
