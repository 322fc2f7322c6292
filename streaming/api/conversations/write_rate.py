"""How often one client may write conversations: they need no place in the queue, which bounds all
that is generated."""

from __future__ import annotations

from collections import OrderedDict

from streaming import conf
from streaming.api.errors import ApiError
from streaming.record.tasks import Requester
from streaming.system.token_bucket import TokenBucket

_MOST_CLIENTS = 10_000

_buckets: OrderedDict[str, TokenBucket] = OrderedDict()


def count(requester: Requester) -> None:
    """Count a request that writes. Raises ApiError (429) if its owner has sent too many."""
    rate = conf.get().max_events_per_second
    bucket = _buckets.setdefault(requester.owner, TokenBucket(rate))
    _buckets.move_to_end(requester.owner)
    if len(_buckets) > _MOST_CLIENTS:
        _buckets.popitem(last=False)
    if not bucket.take():
        message = "Too many requests at once; slow down."
        raise ApiError(429, "rate_limited", message, headers={"Retry-After": "1"})
