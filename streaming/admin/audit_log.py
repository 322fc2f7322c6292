"""The trail that operators leave: Django's admin log of what was done in the live queue.

An entry names a response by its id, which its own history then shows, and a worker by its name;
never what people wrote. In English, whatever the operator's language: it is kept for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType

from streaming.models import Response
from streaming.record.database import in_database
from streaming.system.outages import LAYER_AWAY

UNCERTAIN = "(The queue did not answer; it may not have been done.)"


@dataclass(frozen=True, slots=True)
class Target:
    """What was acted on. `object_id` is empty for what has no page in the admin."""

    object_id: str
    name: str


QUEUE = Target("", "The queue")


def response(response_id: str) -> Target:
    """Return the target for a response, whose own history shows the entry."""
    return Target(response_id, response_id)


def worker(worker_id: str) -> Target:
    """Return the target for a worker, which has no page."""
    return Target("", f"Worker {worker_id}")


async def carried_out(
    operator_id: int, target: Target, message: str, call: Awaitable[bool | None]
) -> bool:
    """Await what does it, and write it down; False, and nothing written, if that answers False.

    When the layer does not answer, that is written down, too, and its error raised.
    """
    try:
        done = await call
    except LAYER_AWAY:
        await write(operator_id, [target], f"{message} {UNCERTAIN}")
        raise
    if done is False:
        return False
    await write(operator_id, [target], message)
    return True


@in_database
def write(operator_id: int, targets: Sequence[Target], message: str) -> None:
    """One entry for each."""
    content_type = ContentType.objects.get_for_model(Response)
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=operator_id,
            content_type=content_type,
            object_id=target.object_id,
            object_repr=target.name[:200],
            action_flag=CHANGE,
            change_message=message,
        )
        for target in targets
    )
