"""The engine before a server that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streaming.engine.upstream import UpstreamEngine
from tests.support.fake_upstream import FakeUpstream
from tests.unit.engine.gathered import Gathered

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    server = FakeUpstream().start()
    yield server
    server.stop()


@pytest.fixture
def start(upstream: FakeUpstream) -> Iterator[Callable[..., Gathered]]:
    """Start an engine before the server: `start(model="m")`."""
    started: list[Gathered] = []

    def start(**arguments: Any) -> Gathered:
        values = {"key": KEY, "probe_seconds": 2.0, "pause_seconds": 0.01, **arguments}
        gathered = Gathered(UpstreamEngine(upstream.url, **values))
        gathered.engine.start(gathered.sink)
        started.append(gathered)
        return gathered

    yield start
    for gathered in started:
        gathered.engine.close()
