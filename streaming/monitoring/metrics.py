"""Prometheus metrics, named after the field's: `chatstream_` and the names that vLLM uses.

Counters and histograms are this process's own, and each thing is counted by one process only:
tokens by the worker whose engine said them, the end of a response by the process whose write
ended it in the record. So a sum over all targets counts nothing twice. Gauges of the queue are
read from the channel layer when somebody asks: every target says the same, so take their
maximum, not their sum. No label names an owner.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from streaming.engine.base import (
    Channel,
    EngineEvent,
    Finished,
    PassedDelta,
    Started,
    TextDelta,
)
from streaming.waiting_list.interface import Snapshot, State, WorkerState

if TYPE_CHECKING:
    from streaming.models import Response

PREFIX = "chatstream_"
"""Beginning of all names. Nothing in them needs escaping, since scrapers with UTF-8 names and those
without would read different ones; no colon, either, which belongs to recording rules."""

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 1, 2.5, 5, 10)

REGISTRY = CollectorRegistry()
"""This process's own metrics."""

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


def _counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
    return Counter(PREFIX + name, text, tuple(labels), registry=REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
    return Histogram(PREFIX + name, text, buckets=buckets, registry=REGISTRY)


PROMPT_TOKENS = _counter("prompt_tokens", "Tokens of the prompts this worker began to answer.")
GENERATION_TOKENS = _counter("generation_tokens", "Tokens this worker's engine generated.")
REASONING_TOKENS = _counter("reasoning_tokens", "Of these, the tokens of thoughts.")
INTER_TOKEN_LATENCY = _histogram(
    "inter_token_latency_seconds", "From one token of an answer to its next.", _TOKEN_SECONDS
)
QUEUE_TIME = _histogram("request_queue_time_seconds", "From the prompt to its first claim.")
TTFT = _histogram("time_to_first_token_seconds", "From the prompt to the first token.")
E2E = _histogram("e2e_request_latency_seconds", "From the prompt to the end of its answer.")
RESPONSES = _counter("responses", "Responses that ended, by status.", ["status"])
REJECTIONS = _counter("admission_rejections", "Prompts without a place, by reason.", ["reason"])
WEBSOCKETS = Gauge(
    PREFIX + "websocket_connections", "Chat sockets open on this process.", registry=REGISTRY
)

for _status in ("completed", "incomplete", "cancelled", "failed"):
    RESPONSES.labels(_status)  # there from the first scrape on, so that a rate misses nothing
for _reason in ("queue_full", "user_limit", "address_limit", "queue_closed", "unavailable"):
    REJECTIONS.labels(_reason)


class TokenMeter:
    """Counts the tokens of one running response, and the time from each to its next."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._counted_prompt = False

    def hear(self, event: EngineEvent, now: float) -> None:
        """Take one event of the engine, said at `now` by the monotonic clock. Tokens that come
        together share the time they took."""
        if isinstance(event, Started | Finished) and not self._counted_prompt:
            PROMPT_TOKENS.inc(event.prompt_tokens)
            self._counted_prompt = event.prompt_tokens > 0
        elif isinstance(event, TextDelta | PassedDelta) and event.tokens:
            GENERATION_TOKENS.inc(len(event.tokens))
            if isinstance(event, TextDelta) and event.channel is Channel.REASONING:
                REASONING_TOKENS.inc(len(event.tokens))
            if self._at is not None:
                for _ in event.tokens:
                    INTER_TOKEN_LATENCY.observe((now - self._at) / len(event.tokens))
            self._at = now


def count_end(response: Response) -> None:
    """Count a response that this process ended, by what its row says. Once for each."""
    RESPONSES.labels(response.status).inc()
    for histogram, until in (
        (QUEUE_TIME, response.started_at),
        (TTFT, response.first_token_at),
        (E2E, response.finished_at),
    ):
        if until is not None:
            histogram.observe(max(0.0, (until - response.created_at).total_seconds()))


class Queue(Collector):
    """Collects the waiting list's gauges from a `snapshot`, which is None if the layer is away."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield the queue's gauges from the snapshot; only `layer_up` 0 if the layer did not
        answer."""
        snapshot = self._snapshot
        yield _gauge("layer_up", "1 if the channel layer answered.", int(snapshot is not None))
        if snapshot is None:
            return
        states = Tally(row.state for row in snapshot.waiting)
        serving = [w for w in snapshot.workers if w.state is not WorkerState.DRAINING]
        paused = [w for w in snapshot.workers if w.paused or snapshot.paused]
        yield _gauge("num_requests_running", "Responses being generated.", len(snapshot.running))
        yield _gauge("num_requests_waiting", "Responses in the queue.", states[State.WAITING])
        yield _gauge(
            "num_requests_held",
            "Responses that wait for an earlier one of their conversation.",
            states[State.HELD],
        )
        yield _gauge(
            "capacity",
            "Responses that the live workers, those that drain apart, may run at once.",
            sum(worker.capacity for worker in serving),
        )
        workers = GaugeMetricFamily(PREFIX + "workers", "Live workers, by state.", labels=["state"])
        by_state = Tally(worker.state for worker in snapshot.workers)
        for state in WorkerState:
            workers.add_metric([state.value], by_state[state])
        yield workers
        yield _gauge("workers_paused", "Live workers that claim nothing.", len(paused))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


class _Both(Collector):
    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        yield from Queue(self._snapshot).collect()


def exposition(snapshot: Snapshot | None, accept: str = "") -> tuple[bytes, str]:
    """Return all metrics in the format that `accept` asks for, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_Both(snapshot)), content_type
