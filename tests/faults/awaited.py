"""What tests of deaths wait for: a condition, the end of a process, an answer that is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.faults.cluster import PATIENCE, Cluster
from tests.faults.reader import Reader
from tests.support.fake_engine import words
from tests.support.processes import ManagedProcess


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


async def ended(process: ManagedProcess) -> int:
    """The exit status of a process that ends by itself."""
    return await asyncio.to_thread(process.process.wait, PATIENCE)


async def whole_answer(reader: Reader, count: int) -> None:
    """It is completed, said in one go, every letter once."""
    done = await reader.end()
    assert done["status"] == "completed"
    assert reader.text == done["text"] == "".join(words(count))
    assert reader.begun == 1


async def told_as_recorded(cluster: Cluster, reader: Reader, count: int) -> None:
    done = await reader.end()
    row = cluster.row(reader.id)
    assert done["status"] == row.status == "completed"
    assert reader.text == done["text"] == row.text == "".join(words(count))
