"""Requests on their way to the stepping thread: their prompts are made beside it.

Two threads, one for short conversations and one for long ones, so that nobody's short prompt
waits behind a long one. Short ones are prepared first come, first served. Of long ones the shortest
is next, but none waits for ever: a later one counts as somewhat longer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from streaming.engine.base import GenerationRequest, ThreadStats
from streaming.engine.local.prompts.preparer import Prepared
from streaming.engine.local.prompts.prompt import OnProgress
from streaming.engine.local.prompts.trimming import chars_of

SHORT_CHARS = 16_000
"""The most characters of a short conversation: its prompt takes a few milliseconds."""

_LATER_CHARS = 8_000
"""Characters by which a long conversation counts as longer than the one that came before it."""

Prepare = Callable[[GenerationRequest, OnProgress], Prepared]


class PromptQueue:
    """The requests that were submitted and have no row yet.

    The caller holds `lock`, that of `ready`, in each call; `ready` is notified when there is a
    prepared request to `take`.
    """

    def __init__(self, lock: threading.RLock, ready: threading.Condition) -> None:
        self._ready = ready
        self._threads = [_PromptThread(lock, in_order=True), _PromptThread(lock, in_order=False)]
        self._prepared: deque[Prepared] = deque()
        self._closing = False

    def start(self, prepare: Prepare) -> None:
        """Start the two threads, which make prompts by `prepare`."""
        for thread in self._threads:
            arguments = (thread, prepare)
            name = "chatstream-prompts"
            threading.Thread(target=self._work, args=arguments, name=name, daemon=True).start()

    def __len__(self) -> int:
        """Return how many have no row yet, those that are being prepared included."""
        return len(self._prepared) + sum(len(thread) for thread in self._threads)

    @property
    def threads(self) -> tuple[ThreadStats, ...]:
        """Return the statistics of each thread, which may be at work for a cancelled request,
        too."""
        return tuple(
            ThreadStats(thread.thread_id, thread.at_work, thread.progress)
            for thread in self._threads
        )

    @property
    def expected(self) -> bool:
        """Return whether a short conversation is being prepared, which takes a moment only."""
        return len(self._threads[0]) > 0

    @property
    def can_take(self) -> bool:
        """Return whether a request is prepared."""
        return bool(self._prepared)

    def add(self, request: GenerationRequest) -> None:
        """Queue a request for the thread of its length."""
        chars = sum(map(chars_of, request.messages))
        self._threads[chars > SHORT_CHARS].add(request, chars)

    def take(self) -> Prepared | None:
        """Remove and return the next prepared request; None if there is none."""
        return self._prepared.popleft() if self._prepared else None

    def take_out(self, response_ids: set[str]) -> list[GenerationRequest]:
        """Remove and return those of these requests that have no row yet."""
        out = [request for thread in self._threads for request in thread.take_out(response_ids)]
        for prepared in [p for p in self._prepared if p.request.response_id in response_ids]:
            self._prepared.remove(prepared)
            out.append(prepared.request)
        return out

    def close(self) -> None:
        """Forget all requests; the threads end after the prompt that they are making."""
        self._closing = True
        self._prepared.clear()
        for thread in self._threads:
            thread.clear()
            thread.changed.notify_all()

    def _work(self, thread: _PromptThread, prepare: Prepare) -> None:
        thread.thread_id = threading.get_ident()
        while True:
            with thread.changed:
                while not (self._closing or thread.waiting):
                    thread.changed.wait()
                if self._closing:
                    return
                request = thread.begin()
            prepared = prepare(request, thread.advance)
            with thread.changed:
                thread.at_work = False
                if thread.end(request):
                    self._prepared.append(prepared)
                    self._ready.notify_all()


class _PromptThread:
    """Requests for one thread, the one that it is preparing included. `in_order`: first come, first
    served; else by length, to which each later request has _LATER_CHARS added."""

    def __init__(self, lock: threading.RLock, *, in_order: bool) -> None:
        self.changed = threading.Condition(lock)
        self._in_order = in_order
        self.waiting: list[tuple[int, GenerationRequest]] = []  # with their weight in characters
        self._arrivals = 0
        self._present: GenerationRequest | None = None
        self.thread_id = 0
        self.at_work = False
        self.progress = 0

    def advance(self) -> None:
        """Show that the thread has made progress."""
        self.progress += 1

    def __len__(self) -> int:
        return len(self.waiting) + (self._present is not None)

    def add(self, request: GenerationRequest, chars: int) -> None:
        """Queue a request of so many characters."""
        self._arrivals += 1
        self.waiting.append((chars + self._arrivals * _LATER_CHARS, request))
        self.changed.notify()

    def begin(self) -> GenerationRequest:
        """Take the next request out of those that wait."""
        every = range(len(self.waiting))
        at = 0 if self._in_order else min(every, key=lambda each: self.waiting[each][0])
        _, self._present = self.waiting.pop(at)
        self.at_work = True
        self.advance()
        return self._present

    def end(self, request: GenerationRequest) -> bool:
        """Take note that a request is prepared. Returns False if it was taken out meanwhile."""
        if self._present is not request:
            return False
        self._present = None
        return True

    def take_out(self, response_ids: set[str]) -> list[GenerationRequest]:
        """Remove and return those of these requests that are here."""
        out = [request for _, request in self.waiting if request.response_id in response_ids]
        self.waiting = [each for each in self.waiting if each[1].response_id not in response_ids]
        if self._present is not None and self._present.response_id in response_ids:
            out.append(self._present)
            self._present = None
        return out

    def clear(self) -> None:
        self.waiting.clear()
        self._present = None
