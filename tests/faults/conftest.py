"""A cluster of real processes for a module; its workers are each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cluster import Cluster, own_cluster
from tests.faults.reader import Reader
from tests.support.valkey import start_or_skip


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two web processes on a Valkey with append-only file."""
    valkey = start_or_skip(durable=True)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), valkey)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        valkey.stop()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The shared one, without a worker before and after."""
    yield shared_cluster
    shared_cluster.stop_workers()


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with a worker, whose Valkey keeps nothing when it is killed."""
    yield from own_cluster(tmp_path, durable=False, workers=1)


Ask = Callable[..., Reader]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Ask a prompt of a cluster: `ask(cluster, "stop 50")`. The reader reads by itself."""
    readers: list[Reader] = []

    def ask(cluster: Cluster, prompt: str, **params: Any) -> Reader:
        readers.append(Reader(cluster.urls, prompt, seed=len(readers), **params).start())
        return readers[-1]

    yield ask
    for reader in readers:
        await reader.stop()
