"""The threads that compute, and the cores that they may run on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from streaming.engine.local.team import Team

linux_with_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)


@pytest.fixture
def apart() -> Iterator[ThreadPoolExecutor]:
    """A thread to compute in, whose team ends with it."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        yield pool
    torch.set_num_threads(threads)


def cores_of_all() -> dict[int, set[int]]:
    """Where each thread of this process may run."""
    return {int(task): os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}


@linux_with_two_cores
def test_as_many_as_there_are_cores_have_one_each(apart: ThreadPoolExecutor) -> None:
    cores = os.sched_getaffinity(0)
    team = apart.submit(Team).result()
    before = set(cores_of_all())
    apart.submit(team.resize, len(cores)).result()
    placed = {task: where for task, where in cores_of_all().items() if where != cores}
    assert sorted(placed.values(), key=min) == [{core} for core in sorted(cores)]
    computing = apart.submit(threading.get_native_id).result()
    assert placed[computing] == {min(cores)}
    assert before & set(placed) <= {computing}, "a thread that computes nothing was placed"


@linux_with_two_cores
def test_fewer_go_anywhere(apart: ThreadPoolExecutor) -> None:
    cores = os.sched_getaffinity(0)
    team = apart.submit(Team).result()
    for size in (len(cores), 1, len(cores), len(cores) - 1):
        apart.submit(team.resize, size).result()
        assert apart.submit(torch.get_num_threads).result() == size
        free = all(where == cores for where in cores_of_all().values())
        assert free is (size < len(cores))


@linux_with_two_cores
def test_the_cores_are_those_that_the_process_may_use(apart: ThreadPoolExecutor) -> None:
    """A container's or taskset's; there, two threads are more than the cores."""
    core = min(os.sched_getaffinity(0))
    apart.submit(os.sched_setaffinity, 0, {core}).result()
    team = apart.submit(Team).result()
    for size in (2, 1):
        apart.submit(team.resize, size).result()
        assert apart.submit(os.sched_getaffinity, 0).result() == {core}


@pytest.mark.parametrize("lack", ["cores cannot be chosen", "another OpenMP", "forbidden"])
def test_without_the_means_it_sets_the_number(
    lack: str, apart: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(thread: int, cores: list[int]) -> None:
        raise PermissionError

    if lack == "cores cannot be chosen":
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    elif lack == "another OpenMP":
        monkeypatch.setattr(torch._C, "__file__", "libc.so.6")
    else:
        monkeypatch.setattr(os, "sched_setaffinity", forbid, raising=False)
    team = apart.submit(Team).result()
    for size in (2, 1):
        apart.submit(team.resize, size).result()
        assert apart.submit(torch.get_num_threads).result() == size
