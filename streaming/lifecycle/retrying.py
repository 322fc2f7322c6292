"""Trying a failed response again, for an operator: a new one for the same prompt, in its owner's
place and within the limits. The failed one stays; its owner sees another version of the answer.
"""

from __future__ import annotations

from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.lifecycle import accepting
from streaming.models import Response
from streaming.record import retries
from streaming.record.retries import NoRetry
from streaming.record.tasks import Regeneration

UNWATCHED_SECONDS = 3600.0
"""Seconds for which it goes on without a reader: its owner may have left."""


async def retry(layer: BaseChannelLayer, response_id: UUID) -> Response | NoRetry:
    """Accept a new response for the prompt of a failed one; return it, or why there is none.

    However often and from wherever it is asked for, there is one. Raises WaitingListError if it
    has no place, and RecordError if the failed one has just gone.
    """
    found = await retries.find(response_id)
    if isinstance(found, NoRetry):
        return found
    row = await accepting.accept(
        layer,
        Regeneration(found.earlier_id),
        params=found.params,
        requester=found.requester,
        reader=accepting.Nobody(),
        response_id=found.response_id,
    )
    await layer.waiting_list.keep(str(row.pk), UNWATCHED_SECONDS)
    return row
