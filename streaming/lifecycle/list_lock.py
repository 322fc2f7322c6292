"""The lock by which a waiting list in memory owns its database.

Such a list lives in one process. A second one on the same database would take up what the first
one answers. So a process that runs the embedded worker holds the one row of `ListLock`, and beats:
it adds one to a number in it every few seconds.

No clock is compared with another one's. Whoever wants the row looks at the number, once a second,
and takes the row when it has not changed over ten looks; at once, if the holder ran on this machine
and is dead. A holder that finds its row taken (it was stopped, or its machine slept) has lost the
list, says so, and answers no more.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import secrets
import threading
import time
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer
from django.db import close_old_connections, connections

from streaming.models import ListLock
from streaming.record import database, lock_row
from streaming.record.sqlite_file import FileId
from streaming.system.outages import AWAY, log_fault
from streaming.waiting_list.memory.waiting_list import MemoryWaitingList

logger = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
_LOOK_SECONDS = 1.0

_LOOKS = 10
"""Looks without a beat after which a holder is taken to be dead. They are counted, not timed: a
contender that was itself stopped, or waited for a locked database, has not looked meanwhile."""

_FRESH_SECONDS = 8.0
"""Seconds after a beat in which the list is certainly ours; less than a contender waits."""

_POLL_SECONDS = 0.05


class LockTaken(RuntimeError):
    """Another process, which is alive, has the list of this database."""


class LockLost(LockTaken):
    """Another process has taken the list over."""


class LockHolder:
    """Holds the row for one waiting list of this process, however many workers it has."""

    _of_list: WeakKeyDictionary[MemoryWaitingList, LockHolder] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.lost = ""  # why, once it is
        self.is_refused = True  # until it is had
        self.is_decided = False  # whether it is had, or somebody else's, is not known yet
        self._users = 0
        self._token = ""
        self._pid = 0
        self._beat_at = 0.0
        self._file: FileId | None = None
        self._changing = threading.RLock()
        self._stopping = threading.Event()
        self._given_up = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, layer: BaseChannelLayer) -> LockHolder | None:
        """Return the holder for a layer's list; None if the list is shared, or the database is
        not."""
        waiting_list = layer.waiting_list
        if not isinstance(waiting_list, MemoryWaitingList) or database.is_in_memory():
            return None
        return cls._of_list.setdefault(waiting_list, cls())

    @classmethod
    def known(cls, layer: BaseChannelLayer) -> LockHolder | None:
        """Return the same if somebody has asked for it: in this process a worker was to run."""
        return cls._of_list.get(layer.waiting_list)

    @property
    def is_held(self) -> bool:
        """Return whether this process has the list, as far as it knows."""
        return bool(self._token) and not self.lost and self._pid == os.getpid()  # not in a fork

    @property
    def is_fresh(self) -> bool:
        """Return whether it certainly has: nobody can have taken it over since the last beat."""
        return (
            self.is_held
            and _now() - self._beat_at < _FRESH_SECONDS
            and self._file == database.file_id()
        )

    def acquire(self) -> None:
        """Take the list for one more user, each of whom may `release` it; the end of the process
        does, too. In a thread that may wait: a holder that cannot be proved dead is watched for ten
        seconds.

        Raises LockTaken, and DatabaseError if the database cannot be used.
        """
        with self._changing:
            if not self.is_held:
                self._stopping.clear()
                self._given_up.clear()
                try:
                    self._token, self._pid, self.lost = self._take(), os.getpid(), ""
                finally:
                    self.is_decided = True
                atexit.register(self._give_back)
                self.is_refused = False
                self.beat()
                self._thread = threading.Thread(
                    target=self._beat_loop, name="list-lock", daemon=True
                )
                self._thread.start()
            self._users += 1

    def give_up(self) -> None:
        """Have an `acquire` that waits in another thread end with LockTaken."""
        self._given_up.set()

    def release(self) -> None:
        """Let go for one user; after the last one, the next process need not wait."""
        with self._changing:
            self._users -= 1
            if self._users:
                return
            self._give_back()
        if self._thread:
            self._thread.join(_FRESH_SECONDS)

    def _give_back(self) -> None:
        atexit.unregister(self._give_back)
        self._stopping.set()
        if self.is_held:
            with contextlib.suppress(*AWAY):
                lock_row.give_back(self._token)
        self._token = ""

    def beat(self) -> None:
        """Say that this process lives. Raises LockLost, and DatabaseError."""
        with self._changing:
            if not self._token:
                return
            database.require_file()
            now, file = _now(), database.file_id()  # before: this process may be stopped after it
            if self.lost or not (lock_row.beat(self._token) or self._take_again()):
                self.lost = self.lost or f"{_taken_by(lock_row.read())} It has taken over."
                self.is_refused = True
                raise LockLost(self.lost)
            self._beat_at, self._file = now, file

    def _beat_loop(self) -> None:
        try:
            while not self._stopping.wait(BEAT_SECONDS):
                try:
                    self.beat()
                except LockLost as error:
                    logger.error("This process answers no more. %s", error)
                    return
                except Exception as error:
                    log_fault(logger, error, "The lock of the waiting list was not renewed.")
                close_old_connections()
        finally:
            connections.close_all()

    def _take(self) -> str:
        """Take the row; return the token under which it is ours. Raises LockTaken."""
        token = secrets.token_hex(16)
        seen: tuple[str, int] | None = None
        unchanged = 0
        while True:
            database.require_file()
            row = lock_row.read()
            if row is None or not row.holder or lock_row.is_dead(row):
                if lock_row.take(token, row):
                    return token
                continue
            if seen is not None and seen != (row.holder, row.beats):
                raise LockTaken(_taken_by(row))
            if seen is None:
                logger.info(
                    "Is the process that had the waiting list alive? (%s)", lock_row.name_of(row)
                )
            seen = row.holder, row.beats
            unchanged += 1
            if unchanged > _LOOKS:
                if lock_row.take(token, row):
                    logger.warning(
                        "%s is taken to be dead: it did not beat.", lock_row.name_of(row)
                    )
                    return token
                continue
            if self._given_up.wait(_LOOK_SECONDS):
                raise LockTaken(_taken_by(row))

    def _take_again(self) -> bool:
        """Take the row if it is nobody's; return whether it was. So it is when the database is
        another one than before, such as a file that was put back."""
        row = lock_row.read()
        is_free = row is None or not row.holder or lock_row.is_dead(row)
        return is_free and lock_row.take(self._token, row)


async def decided(layer: BaseChannelLayer, seconds: float) -> None:
    """Wait until this process has the list of its worker-to-be, or knows that another one has it,
    at most so many seconds. (Polled: it is decided in a thread.)"""
    holder = LockHolder.known(layer)
    for _ in range(round(seconds / _POLL_SECONDS)):
        if holder is None or holder.is_decided:
            return
        await asyncio.sleep(_POLL_SECONDS)


def refusal(layer: BaseChannelLayer) -> str:
    """Return why this process answers no prompt, in a few words; empty unless another process has
    the list."""
    holder = LockHolder.known(layer)
    if holder is None or not holder.is_refused:
        return ""
    return "another process has the waiting list of this database"


def _taken_by(row: ListLock | None) -> str:
    who = f" ({lock_row.name_of(row)})" if row and row.holder else ""
    return (
        f"Another process{who} has the waiting list of this database. Without REDIS_URL the list "
        "lives inside one process: stop one of the two, or set REDIS_URL for both."
    )


def _now() -> float:
    """A clock that goes on while the machine sleeps, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
