"""Starting what a worker has claimed: the list has given it a lease and an attempt, and now the row
says so.

A process that dies between the two leaves a lease that runs out: the list gives the response its
old place, and the next start writes another attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streaming.lifecycle.history_images import with_images
from streaming.record import starts
from streaming.record.histories import MOST_CHARS
from streaming.record.starts import Work
from streaming.waiting_list.interface import Claim


async def start(
    worker_id: str, claims: Sequence[Claim], most_chars: int = MOST_CHARS, model: str = ""
) -> list[Work | Exception | None]:
    """Start claimed responses; return for each its work, as `starts.start_all`.

    None: the response has ended or is gone (`ending.settle` takes it out of the list), or is
    another attempt's. An exception: it could not be started, and the others could; ImagesRefused
    says what its reader is told.
    """
    claimed = [(claim.entry.response_id, claim.attempt) for claim in claims]
    works: list[Work | Exception | None] = await starts.start_all(
        worker_id, claimed, most_chars, model
    )
    return await asyncio.gather(*map(_with_images, works))


async def _with_images(work: Work | Exception | None) -> Work | Exception | None:
    try:
        return await with_images(work) if isinstance(work, Work) else work
    except Exception as error:
        return error
