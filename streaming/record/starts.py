"""Beginning what a worker has claimed: the row is `in_progress`, and its history is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from streaming.engine.base import ChatMessage, SamplingParams
from streaming.models import OPEN, Response, Status
from streaming.record.database import in_database
from streaming.record.histories import MOST_CHARS, history_of
from streaming.record.instructions import with_system


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to generate: the instructions and the turns, oldest first, without the
    `left_out` oldest ones, and the sampling parameters. `trims`: the engine may leave out more of
    the oldest turns. `raw` as in GenerationRequest. `row` is what `endings.end` takes."""

    row: Response
    messages: tuple[ChatMessage, ...]
    params: SamplingParams
    left_out: int = 0
    trims: bool = True
    raw: bool = False


@in_database
def start_all(
    worker_id: str,
    claimed: Sequence[tuple[str, int]],
    most_chars: int = MOST_CHARS,
    model: str = "",
) -> list[Work | Exception | None]:
    """Mark claimed responses, each an id and its attempt, `in_progress`, and read their histories,
    of each the newest turns with about `most_chars` characters. `model` is the worker's name of
    its model.

    Return for each its work, None if it may not run, or the exception that beginning it raised.
    One visit to the database's thread, and one transaction if all goes well, else one each.
    """
    try:
        return [*_start(worker_id, claimed, most_chars, model)]
    except Exception as error:
        if len(claimed) == 1:
            return [error]
        return [_start_safely(worker_id, each, most_chars, model) for each in claimed]


def _start_safely(
    worker_id: str, claimed: tuple[str, int], most_chars: int, model: str
) -> Work | Exception | None:
    try:
        return _start(worker_id, [claimed], most_chars, model)[0]
    except Exception as error:
        return error


def _start(
    worker_id: str, claimed: Sequence[tuple[str, int]], most_chars: int, model: str
) -> list[Work | None]:
    by_attempt: dict[int, list[str]] = {}
    for response_id, attempt in claimed:
        by_attempt.setdefault(attempt, []).append(response_id)
    works: dict[tuple[str, int], Work] = {}
    with transaction.atomic():
        for attempt, ids in sorted(by_attempt.items()):
            Response.objects.filter(pk__in=ids, status__in=OPEN).update(
                status=Status.IN_PROGRESS,
                worker=worker_id,
                model=model[:200],
                attempt=attempt,
                started_at=Coalesce("started_at", timezone.now()),
            )
            ours = Response.objects.filter(pk__in=ids, status=Status.IN_PROGRESS)
            for row in ours.select_related("prompt").order_by():
                works[str(row.pk), attempt] = _work(row, most_chars)
    return [works.get(each) for each in claimed]


def _work(row: Response, most_chars: int) -> Work:
    given = {**row.params, "stop": tuple(row.params["stop"])}
    given.pop("thinking", None)  # it is no matter of sampling
    given["asked"] = frozenset(given)
    raw = bool(given.pop("raw", False))
    trims = given.pop("truncation", "auto") == "auto"
    turns, left_out = history_of(row, max(0, most_chars - len(row.instructions)))
    messages = tuple(with_system(turns, row.instructions))
    return Work(row, messages, SamplingParams(**given), left_out, trims, raw)
