"""The channel-layer groups to which the list itself sends."""

from __future__ import annotations

WORKERS_GROUP = "workers"
"""The group of all workers. The list sends `{"type": "worker.claim", "worker_id"}` to it when it
reserves an entry for that worker."""


def group_name(response_id: str) -> str:
    """Return the channel-layer group that receives a response's events.

    Its messages are `{"type": "response.event", "response_id", "sequence_number", "event",
    "last"}`: `event` is the complete JSON text, as `read` gives it; `last` is true for the
    event of `finish` or `withdraw`.
    """
    return f"response.{response_id}"
