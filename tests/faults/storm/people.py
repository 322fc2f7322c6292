"""The people of a storm: readers with intentions."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from html import unescape
from typing import Any

from tests.faults.reader import Garbled, Reader
from tests.faults.storm.plan import Plan
from tests.support.endings import is_end
from tests.support.fake_engine import thoughts, words
from tests.support.told_items import ToldItems

THINK = 0.3
"""The share of answers before which something is thought."""

BOMBS = (
    ("maple", '"' + " " * 40),
    ("systemd", ":" + " " * 490),
    ("autoit", "$" * 490),
    ("python", "(" * 400 + "\n" + '"""' * 20),
    ("json", "[" * 490),
)
"""Languages and code over which some lexer takes long or for ever."""


class Ask(Reader):
    """One prompt. `html` reads it as the page does, `slow` reads with pauses, `fails` asks for an
    answer that fails after its text."""

    whole = thought = ""
    cancels = leaves = html = slow = fails = False
    done_at = 0.0
    code = ""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        super().__init__(urls, "", seed=seed)
        self._blocks: dict[int, str] = {}
        self._pauses = random.Random(seed)

    def answer_is(self, length: int, thought: int = 0) -> None:
        """An answer of so many words, after so many of a thought; call it after the intentions are
        known."""
        self.prompt = f"{'fail' if self.fails else 'stop'} {length}"
        self.whole = "".join(words(length))
        if thought:
            self.prompt = f"think {thought} {self.prompt}"
            self.thought = thoughts(thought)

    def answer_is_hostile(self, language: str, code: str) -> None:
        """A block of code that is hard to show."""
        self.code, self.thought = code, ""
        self.whole = f"```{language}\n{code}\n```\n"
        self.prompt = f"say {self.whole}"

    @property
    def shown(self) -> str:
        """What the page would show, without blanks."""
        html = "".join(self._blocks[index] for index in sorted(self._blocks))
        return _dense(unescape(re.sub("<[^>]*>", "", html)))

    @property
    def to_be_shown(self) -> str:
        """What it should show of the text that was told."""
        assert self.done is not None
        return _dense(self.code or self.done["text"])

    async def _read_on(self, url: str) -> None:
        await super()._read_on(f"{url}?markup=html&version=2" if self.html else url)

    async def _ask_or_resume(self) -> None:
        if self.html:  # told all from the beginning
            self.sequence, self.told = 0, ToldItems()
        await super()._ask_or_resume()

    def _take_numbered(self, event: dict[str, Any]) -> None:
        super()._take_numbered(event)
        if self.html and "blocks" in event:
            for index in [i for i in self._blocks if i >= event.get("block_count", i + 1)]:
                del self._blocks[index]
            for block in event["blocks"]:
                self._blocks[block["index"]] = block["html"]
        elif self.html and (is_end(event) or event["type"] == "response.output_text.delta"):
            raise Garbled(f"no blocks: {event}")

    async def _receive(self) -> dict[str, Any]:
        if self.slow:
            await asyncio.sleep(self._pauses.uniform(0, 0.3))
        return await super()._receive()


def _dense(text: str) -> str:
    return "".join(text.split())


def make(plan: Plan, urls: Sequence[str], chance: random.Random) -> list[Ask]:
    """Those of a plan, whose owners are not known yet."""
    asks = [Ask(urls, chance.getrandbits(32)) for _ in range(plan.responses)]
    for ask in chance.sample(asks, plan.cancels):
        ask.cancels = True
    for ask in chance.sample(asks, plan.reconnects):
        ask.leaves = True
    for ask in chance.sample(asks, plan.html):
        ask.html = True
    for ask in chance.sample(asks, plan.slow):
        ask.slow = True
    odd = chance.sample(asks, plan.hostile + plan.failing)
    for ask in odd[plan.hostile :]:
        ask.fails = True
    for ask in asks:
        thought = chance.randint(1, plan.longest) if chance.random() < THINK else 0
        ask.answer_is(chance.randint(1, plan.longest), thought)
    for ask in odd[: plan.hostile]:
        ask.html, ask.cancels = True, False
        ask.answer_is_hostile(*chance.choice(BOMBS))
    return asks


async def meet(
    asks: Sequence[Ask], owners: int, urls: Sequence[str], chance: random.Random
) -> None:
    """Each owner's first word gives the token by which its later sockets are the same one."""
    tokens = []
    for _ in range(owners):
        first = Reader(urls, "stop 1")
        await first.answer()
        tokens.append(first.token)
    for ask in asks:
        ask.token = chance.choice(tokens)


async def live(ask: Ask) -> None:
    """Read it to its end, and have the whims that were planned."""
    whims = asyncio.create_task(_whims(ask))
    try:
        await ask.answer()
    finally:
        whims.cancel()
        await asyncio.gather(whims, return_exceptions=True)


async def _whims(ask: Ask) -> None:
    chance = random.Random(ask.id)
    await ask.accepted.wait()
    if ask.leaves:
        await _moment(ask, chance)
        ask.leave()
        await asyncio.sleep(chance.uniform(0, 1))
        ask.come_back()
    if ask.cancels:
        await _moment(ask, chance)
        await ask.cancel()


async def _moment(ask: Ask, chance: random.Random) -> None:
    """In the queue, at about the claim, or mid-answer."""
    if chance.random() < 0.4:
        await asyncio.sleep(chance.uniform(0, 2))
    else:
        await ask.words(chance.randint(0, ask.whole.count(" ")))
