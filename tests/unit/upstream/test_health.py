"""Whether the server is there, and which model it serves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from streaming.engine.base import EngineError
from streaming.engine.upstream import UpstreamEngine, faults
from streaming.engine.upstream.health import Health
from tests.support.fake_upstream import MODEL, FakeUpstream
from tests.unit.engine.gathered import Gathered
from tests.unit.upstream.conftest import KEY
from tests.unit.upstream.test_faults import wait_until

Start = Callable[..., Gathered]


def test_the_first_model_is_served(start: Start, upstream: FakeUpstream) -> None:
    upstream.models = {"data": [MODEL, {"id": "other"}]}
    info = start(max_running=3).engine.info
    assert (info.name, info.context_tokens, info.max_running) == ("fake/model", 4096, 6)
    assert info.device == "upstream"


def test_the_named_model_is_served(start: Start, upstream: FakeUpstream) -> None:
    upstream.models = {"data": [MODEL, {"id": "other", "meta": {"n_ctx": 512}}]}
    gathered = start(model="other")
    gathered.ask("r", "x")
    assert gathered.engine.info.context_tokens == 512
    assert upstream.bodies[0]["model"] == "other"


@pytest.mark.parametrize(("status", "listed"), [(200, [MODEL]), (200, []), (404, 0), (500, 0)])
def test_a_named_model_need_not_be_listed(
    start: Start, upstream: FakeUpstream, status: int, listed: Any
) -> None:
    upstream.models, upstream.models_status = {"data": listed}, status
    engine = start(model="alias", context_tokens=99).engine
    assert not engine.unavailable_reason
    assert (engine.info.name, engine.info.context_tokens) == ("alias", 99)


@pytest.mark.parametrize(
    "said",
    ["", "<html>", {}, [], {"data": 5}, {"data": ["x"]}, {"data": [{"name": "x"}]}, {"data": []}],
)
def test_no_list_of_models(start: Start, upstream: FakeUpstream, said: Any) -> None:
    upstream.models = said
    engine = start().engine
    assert engine.unavailable_reason
    assert engine.stats().alive
    upstream.models = {"data": [MODEL]}
    wait_until(lambda: not engine.unavailable_reason)
    assert engine.info.name == "fake/model"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_start(
    upstream: FakeUpstream, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.models_status, upstream.models = status, {"error": f"not with {KEY[:6]}"}
    with pytest.raises(EngineError, match=f"HTTP {status}"):
        UpstreamEngine(upstream.url, key=KEY).prepare()
    assert KEY not in caplog.text


def test_an_absent_server_does_not_stop_the_start(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.stop()
    with caplog.at_level(logging.WARNING, "streaming"):
        UpstreamEngine(upstream.url).prepare()
        engine = start(model="m").engine
    assert engine.unavailable_reason
    assert "does not answer" in caplog.text
    upstream.start()
    wait_until(lambda: not engine.unavailable_reason)


def test_an_unknown_host() -> None:
    engine = UpstreamEngine("http://no-such-host.invalid:1/v1", probe_seconds=2)
    engine.prepare()
    assert engine.unavailable_reason


def test_no_tls_there(upstream: FakeUpstream) -> None:
    engine = UpstreamEngine(upstream.url.replace("http:", "https:"), probe_seconds=2)
    engine.prepare()
    assert engine.unavailable_reason


class Slow:
    """A server that does not answer in time."""

    async def models(self) -> None:
        raise faults.away("no answer") from TimeoutError()


async def test_one_that_streams_may_be_too_busy_to_be_asked() -> None:
    health = Health(Slow(), "m", 5.0)  # type: ignore[arg-type]
    health.unavailable_reason = ""
    health.heard()
    await health.look()
    assert not health.unavailable_reason
    silent = Health(Slow(), "m", 5.0)  # type: ignore[arg-type]
    silent.unavailable_reason = ""
    await silent.look()
    assert "no answer" in silent.unavailable_reason
    assert not silent.is_refused


def test_before_the_start(upstream: FakeUpstream) -> None:
    engine = UpstreamEngine(upstream.url)
    with pytest.raises(EngineError):
        _ = engine.info
    assert not engine.stats().alive
    engine.close()
