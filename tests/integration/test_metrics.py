"""`/metrics` and the probes, over the whole chain in one process."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.db.utils import OperationalError
from django.test import AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from streaming.deployment import probes, worker_metrics
from streaming.lifecycle import ending
from streaming.models import Response
from streaming.monitoring import metrics, tracing
from streaming.record import database_check
from streaming.record.endings import Ending
from tests.integration.conftest import ChatClient, eventually
from tests.support.fake_engine import FakeEngine
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

Values = dict[str, float]


def values_in(text: str) -> Values:
    """`name{label="value"}` of each sample, to its value."""
    found: Values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def scrape() -> Values:
    response = await AsyncClient().get("/metrics")
    assert response.status_code == 200
    return values_in(response.content.decode())


class Since:
    """How much each value has grown since; the registry is of the whole test process."""

    def __init__(self, before: Values) -> None:
        self._before = before

    @classmethod
    async def now(cls) -> Since:
        return cls(await scrape())

    async def __call__(self, name: str) -> float:
        return (await scrape()).get(name, 0) - self._before.get(name, 0)


async def test_every_name_has_our_prefix_or_is_the_librarys(layer: Any) -> None:
    for name in await scrape():
        assert name.startswith(("chatstream_", "process_", "python_")), name


async def test_a_page_of_another_name_reads_nothing(layer: Any) -> None:
    """Its name was made to lead to the operator's own machine, whose address may read."""
    other = {"host": "evil.example:8000"}
    assert (await AsyncClient().get("/metrics", headers=other)).status_code == 403
    for path in ("/healthz", "/readyz"):  # a load balancer knows no name
        assert (await AsyncClient().get(path, headers=other)).status_code in (200, 503)


async def test_nor_does_it_from_a_workers_port(layer: Any) -> None:
    def status(port: int, host: str) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/metrics", headers={"Host": host})
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    with worker_metrics.served("127.0.0.1", 0) as port:
        for host, wanted in (("evil.example", 403), (f"127.0.0.1:{port}", 200)):
            assert await asyncio.to_thread(status, port, host) == wanted


async def test_tokens_times_and_ends_are_counted_once(
    layer: Any, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine())
    grown = await Since.now()
    chat: ChatClient = await client()
    for prompt in ("stop 5", "stop 3", "fail 2"):
        await chat.ask(prompt)
        await chat.end()
    assert await grown("chatstream_generation_tokens_total") == 10
    assert await grown("chatstream_prompt_tokens_total") >= 3
    assert await grown("chatstream_inter_token_latency_seconds_count") == 4 + 2 + 1
    assert await grown('chatstream_responses_total{status="completed"}') == 2
    assert await grown('chatstream_responses_total{status="failed"}') == 1
    for name in (
        "request_queue_time_seconds",
        "time_to_first_token_seconds",
        "e2e_request_latency_seconds",
    ):
        assert await grown(f"chatstream_{name}_count") == 3, name
    assert await grown("chatstream_websocket_connections") == 1


async def test_the_queue_is_the_layers(layer: Any, start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(max_running=1))
    chats: list[ChatClient] = [await client() for _ in range(3)]
    for chat in chats:
        await chat.ask("stop 100000")
    await eventually(lambda: _is_running(1))
    values = await scrape()
    assert values["chatstream_layer_up"] == 1
    assert values["chatstream_num_requests_running"] == 1
    assert values["chatstream_num_requests_waiting"] == 2
    assert values["chatstream_num_requests_held"] == 0
    assert values["chatstream_capacity"] == 1
    assert values['chatstream_workers{state="ready"}'] == 1
    assert values['chatstream_workers{state="draining"}'] == 0
    await layer.waiting_list.pause()
    assert (await scrape())["chatstream_workers_paused"] == 1


async def _is_running(count: int) -> bool:
    return (await scrape())["chatstream_num_requests_running"] == count


async def test_rejections_by_reason(layer: Any, client: Any, chatstream: Any) -> None:
    chatstream(max_waiting=0)
    grown = await Since.now()
    chat: ChatClient = await client()
    await chat.send("response.create", input="stop 1")
    assert (await chat.until("error"))["code"] == "unavailable"
    assert await grown('chatstream_admission_rejections_total{reason="unavailable"}') == 1
    assert await grown('chatstream_responses_total{status="failed"}') == 0


async def test_cancelled_in_the_queue_is_an_end_too(
    layer: Any, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine(max_running=1))
    chat: ChatClient = await client()
    other: ChatClient = await client()
    await chat.ask("stop 100000")
    queued = await other.ask("stop 1")
    grown = await Since.now()
    await other.send("response.cancel", response_id=queued["response_id"])
    await other.end()
    assert await grown('chatstream_responses_total{status="cancelled"}') == 1
    assert await grown("chatstream_time_to_first_token_seconds_count") == 0


async def test_the_second_writer_of_an_end_counts_nothing(
    layer: Any, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    done = await chat.ask("stop 2")
    await chat.end()
    grown = await Since.now()
    assert not await ending.end(layer, [done["response_id"]], Ending.failed("late", "Late."))
    assert await grown('chatstream_responses_total{status="failed"}') == 0


async def test_a_fault_of_telemetry_does_not_reach_the_response(
    layer: Any, start_worker: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(response: Response) -> None:
        raise RuntimeError("no metrics today")

    monkeypatch.setattr(metrics, "count_end", fail)
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    await chat.ask("stop 2")
    assert (await chat.end())["status"] == "completed"


async def test_a_stranger_reads_no_metrics(layer: Any) -> None:
    response = await AsyncClient().get("/metrics", headers={"x-forwarded-for": "192.0.2.1"})
    assert response.status_code == 403
    assert b"chatstream_" not in response.content


async def test_openmetrics_is_spoken_to_who_asks(layer: Any) -> None:
    response = await AsyncClient().get(
        "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")


async def test_metrics_say_that_the_layer_is_away(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(layer.waiting_list), "snapshot", _refuse)
    values = await scrape()
    assert values["chatstream_layer_up"] == 0
    assert "chatstream_num_requests_running" not in values
    assert "chatstream_generation_tokens_total" in values


async def _refuse(*args: Any) -> Any:
    raise ConnectionError("the layer is away")


async def ready() -> tuple[int, dict[str, str]]:
    response = await AsyncClient().get("/readyz", headers={"host": "10.9.8.7"})
    return response.status_code, json.loads(response.content)["checks"]


async def test_however_many_ask_the_database_is_asked_once(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question takes the write lock for a moment, and prompts need that, too."""
    asked: list[int] = []

    def fault() -> str:
        asked.append(1)
        return "is locked"

    monkeypatch.setattr(database_check, "fault", fault)
    monkeypatch.setattr(database_check, "_KEPT_SECONDS", 3600)
    answers = await asyncio.gather(*(ready() for _ in range(20)))
    answers.append(await ready())
    assert {(status, checks["database"]) for status, checks in answers} == {(503, "is locked")}
    assert len(asked) == 1
    monkeypatch.setattr(database_check, "_KEPT_SECONDS", -1)
    await ready()
    assert len(asked) == 2


async def test_ready_with_a_worker_and_not_before(layer: Any, start_worker: Any) -> None:
    missing = {"database": "ok", "layer": "ok", "worker": "none is alive"}
    assert await ready() == (503, missing)
    worker = await start_worker(FakeEngine())
    assert await ready() == (200, {"database": "ok", "layer": "ok", "worker": "ok"})
    await worker.stop()
    await eventually(lambda: _is_missing(missing))


async def _is_missing(expected: dict[str, str]) -> bool:
    return await ready() == (503, expected)


async def test_not_ready_without_the_database(
    layer: Any, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start_worker(FakeEngine())

    def refuse(*args: Any) -> Any:
        raise OperationalError("the database is away: password=secret")

    monkeypatch.setattr(type(connections["default"]), "cursor", refuse)
    assert await ready() == (503, {"database": "does not answer", "layer": "ok", "worker": "ok"})
    response = await AsyncClient().get("/healthz")
    assert (response.status_code, json.loads(response.content)) == (200, {"status": "ok"})


async def test_not_ready_without_the_layer(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(layer.waiting_list), "workers", _refuse)
    checks = {"database": "ok", "layer": "does not answer", "worker": "unknown"}
    assert await ready() == (503, checks)


async def test_not_ready_when_the_layer_hangs(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*args: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(type(layer.waiting_list), "workers", hang)
    assert (await ready())[1]["layer"] == "does not answer"


async def test_probes_are_read_only(layer: Any) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await AsyncClient().post(path)).status_code == 405


async def test_the_dashboard_asks_for_what_there_is(layer: Any) -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text(encoding="utf-8"))
    names = {name.partition("{")[0] for name in await scrape()}
    asked = set()
    for expression in expressions_in(dashboard):
        found = metric_names(expression)
        assert found, expression
        asked |= found
    assert asked <= names, asked - names
    shown = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in asked}
    ours = {re.sub(r"_(bucket|count|sum|total|created)$", "", name) for name in names}
    unshown = {name for name in ours if name.startswith("chatstream_")} - shown
    assert not unshown, unshown


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"chatstream_[a-z0-9_]+|process_[a-z_]+|python_[a-z_]+", expression))


def expressions_in(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["expr"]] if "expr" in node else []
        return own + [found for value in node.values() for found in expressions_in(value)]
    if isinstance(node, list):
        return [found for value in node for found in expressions_in(value)]
    return []


async def test_an_end_is_logged_with_its_id_and_without_its_words(
    layer: Any, start_worker: Any, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    with caplog.at_level(logging.DEBUG):
        queued = await chat.ask("stop 2")
        await chat.end()
    (line,) = [
        record for record in caplog.records if record.name == "streaming.monitoring.telemetry"
    ]
    assert UUID(queued["response_id"]) in line.args
    assert line.data["status"] == "completed"
    assert line.data["completion_tokens"] == 2
    assert line.data["e2e_seconds"] >= line.data["ttft_seconds"] >= line.data["queue_seconds"] >= 0
    assert "stop 2" not in caplog.text
    assert "w0" not in caplog.text


class _Spans:
    """A tracer whose finished spans are kept."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")

    def by_name(self) -> dict[str, Any]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> _Spans:
    kept = _Spans()
    monkeypatch.setattr(tracing, "_tracer", lambda: kept.tracer)
    return kept


async def test_a_trace_of_a_response(
    layer: Any,
    start_worker: Any,
    client: Any,
    chatstream: Callable[..., None],
    spans: _Spans,
) -> None:
    chatstream(tracing=True, model="some/model")
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    queued = await chat.ask("stop 4", params={"temperature": 0.5})
    await chat.end()
    found = spans.by_name()
    whole, queue, generation = found["chat"], found["queue"], found["generation"]
    assert queue.parent.span_id == generation.parent.span_id == whole.context.span_id
    assert whole.start_time == queue.start_time <= queue.end_time == generation.start_time
    assert generation.start_time <= generation.events[0].timestamp <= generation.end_time
    assert whole.end_time == generation.end_time
    assert whole.attributes["gen_ai.request.model"] == "some/model"
    assert whole.attributes["gen_ai.response.id"] == queued["response_id"]
    assert whole.attributes["gen_ai.request.temperature"] == 0.5
    assert whole.attributes["gen_ai.usage.output_tokens"] == 4
    assert whole.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert not any(
        "stop 4" in str(value) or "w0" in str(value) for value in whole.attributes.values()
    )


async def test_a_failed_response_is_an_error_span(
    layer: Any, start_worker: Any, client: Any, chatstream: Callable[..., None], spans: _Spans
) -> None:
    chatstream(tracing=True)
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    await chat.ask("fail 1")
    await chat.end()
    whole = spans.by_name()["chat"]
    assert not whole.status.is_ok
    assert whole.attributes["error.type"] == "engine_error"


async def test_no_trace_unless_asked_for(
    layer: Any, start_worker: Any, client: Any, spans: _Spans
) -> None:
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    await chat.ask("stop 1", response_id=str(uuid4()))
    await chat.end()
    assert spans.by_name() == {}
