"""From the waiting list to the engine: claims while there is a free place, and submits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from streaming import conf
from streaming.engine.base import CHARS_PER_TOKEN, Engine, EngineError, GenerationRequest
from streaming.lifecycle import starting
from streaming.lifecycle.arrivals import Arrivals
from streaming.lifecycle.history_images import ImagesRefused
from streaming.lifecycle.published import Published
from streaming.record import thinking
from streaming.record.histories import MOST_CHARS
from streaming.record.output import Output
from streaming.record.starts import Work
from streaming.system.outages import AWAY, log_fault
from streaming.waiting_list.interface import Claim, ListLost, Reserved, WaitingList
from streaming.worker.end_writer import EndWriter
from streaming.worker.running import Running
from streaming.worker.running_set import RunningSet
from streaming.worker.tasks import POLL_SECONDS, wait

logger = logging.getLogger(__name__)

_BEGUN_TOGETHER = 16
"""Most responses that are started in one visit to the database's thread. Each takes it some 1.5 ms,
and other people's prompts wait for it."""

_CROWD_SECONDS = 0.1
"""Most seconds that an idle engine waits for prompts that are just being written. When it began
with the first one alone, on the cores that write the others, both took twice as long."""


class Claimer:
    """Claims for one worker. It looks again whenever `bell` rings; `has_place` says if it may.

    `restore` gives the list its memory back.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        waiting_list: WaitingList,
        running_set: RunningSet,
        end_writer: EndWriter,
        *,
        lease_seconds: float,
        has_place: Callable[[], bool],
        bell: asyncio.Event,
        restore: Callable[[], Awaitable[None]],
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._list = waiting_list
        self._running_set = running_set
        self._end_writer = end_writer
        self._lease_seconds = lease_seconds
        self._has_place = has_place
        self._bell = bell
        self._restore = restore

    async def claim_loop(self) -> None:
        """Claim and submit, again and again. Never returns."""
        while True:
            self._bell.clear()
            pause = POLL_SECONDS
            try:
                pause = await self._claim_all()
            except ListLost:
                await self._restore_list()
            except Exception as error:
                log_fault(logger, error, "Claiming failed; trying again.")
            await wait(self._bell, pause)

    async def _restore_list(self) -> None:
        try:
            await self._restore()
            self._bell.set()
        except Exception as error:
            log_fault(logger, error, "The waiting list is not restored yet; trying again.")

    async def _claim_all(self) -> float:
        """Claim until nothing is to be had. Return the seconds until the next look."""
        if not self._running_set:
            await Arrivals.here().all_written(_CROWD_SECONDS)
        while self._has_place():
            claimed, last = await self._claim_some()
            if claimed:
                await self._begin(claimed)
            if isinstance(last, Reserved):
                return min(last.seconds, POLL_SECONDS)
            if last is None:
                break
        return POLL_SECONDS

    async def _claim_some(self) -> tuple[list[Running], Claim | Reserved | None]:
        """Return what is to be started together, and what the last try to claim gave."""
        claimed: list[Running] = []
        last: Claim | Reserved | None = None
        while self._has_place() and len(claimed) < _BEGUN_TOGETHER:
            try:
                last = await self._list.claim(self._worker_id, self._lease_seconds)
            except Exception:
                if not claimed:
                    raise
                break  # what is claimed begins; the next claim tells what is wrong
            if not isinstance(last, Claim):
                break
            claimed.append(self._running_set.add(last))
        return claimed, last

    async def _begin(self, claimed: Sequence[Running]) -> None:
        """All at once: an engine reads prompts that come together in fewer steps."""
        begun = 0
        try:
            claims = [running.claim for running in claimed]
            works = await starting.start(
                self._worker_id, claims, self._most_chars(), self._engine.info.name
            )
            for running, work in zip(claimed, works, strict=True):
                await self._submit(running, work)
                begun += 1
        except BaseException:
            for running in claimed[begun:]:
                self._running_set.forget(running)  # no bell: not at once again
                with contextlib.suppress(Exception):
                    await self._list.release(running.lease)
            raise

    def _most_chars(self) -> int:
        """Return the characters of a history that may fit; no request to `/v1/` is cut by it."""
        if not (context := self._engine.info.context_tokens):
            return MOST_CHARS
        return max(CHARS_PER_TOKEN * context, conf.get().conversation_chars)

    async def _submit(self, running: Running, work: Work | Exception | None) -> None:
        response_id, claim = running.response_id, running.claim
        try:
            if isinstance(work, ImagesRefused):
                await self._end_writer.fail(running, str(work), work.code)
                return
            if isinstance(work, Exception):
                raise work
            if work is None:
                # It ended between its place and our claim; its readers still wait for the word.
                await self._end_writer.end_by_record(running)
                return
            running.start(work.row)
            if work.raw and not self._engine.info.completes_text:
                await self._end_writer.fail(running, "This model takes conversations only.")
                return
            said = Output()
            if claim.last_sequence and (events := await self._list.read(response_id)):
                published = Published.of(events)
                said = published.output
                running.resume(published)
            await self._running_set.left_engine(response_id)
            if not self._running_set.holds(running):
                return  # the lease was lost over all this
            request = GenerationRequest(
                response_id,
                work.messages,
                work.params,
                claim.tokens,
                said.text,
                work.left_out,
                trims=work.trims,
                prior_passed=said.passed,
                prior_reasoning=said.reasoning,
                prior_in_thought=bool(said.segments) and said.segments[-1].kind == "reasoning",
                thinking=thinking.of(work.row.params, self._engine.info.context_tokens),
                raw=work.raw,
            )
            self._engine.submit(request)
            running.mark_submitted()
            if running.is_cancelled:  # while it was being started
                self._running_set.cancel(running)
        except (EngineError, *AWAY):
            raise
        except Exception:
            # Put back, it would come again and again and hold up everybody behind it.
            logger.exception("Response %s cannot be served.", response_id)
            await self._end_writer.fail(running, "This prompt cannot be answered.")
