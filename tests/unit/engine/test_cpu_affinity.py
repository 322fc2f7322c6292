"""The threads that compute, and the cores that they may run on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from streaming.engine.local.forward.cpu_affinity import CpuAffinity

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
    found = {}
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            found[int(task)] = os.sched_getaffinity(int(task))
    return found


def placed_since(before: dict[int, set[int]]) -> dict[int, set[int]]:
    """Those that may not run everywhere, unless it was so before: other tests' engines may live."""
    everywhere = os.sched_getaffinity(0)
    return {
        task: cores
        for task, cores in cores_of_all().items()
        if cores != before.get(task, everywhere)
    }


@linux_with_two_cores
def test_as_many_as_there_are_cores_have_one_each(apart: ThreadPoolExecutor) -> None:
    cores = os.sched_getaffinity(0)
    team = apart.submit(CpuAffinity).result()
    before = cores_of_all()
    apart.submit(team.resize, len(cores)).result()
    placed = placed_since(before)
    assert sorted(placed.values(), key=min) == [{core} for core in sorted(cores)]
    computing = apart.submit(threading.get_native_id).result()
    assert placed[computing] == {min(cores)}
    assert before.keys() & placed.keys() == {computing}, "one that computes nothing was placed"


@linux_with_two_cores
def test_fewer_go_anywhere(apart: ThreadPoolExecutor) -> None:
    cores = os.sched_getaffinity(0)
    team = apart.submit(CpuAffinity).result()
    before = cores_of_all()
    for size in (len(cores), 1, len(cores), len(cores) - 1):
        apart.submit(team.resize, size).result()
        assert apart.submit(torch.get_num_threads).result() == size
        assert bool(placed_since(before)) is (size == len(cores))


@linux_with_two_cores
def test_the_main_thread_is_left_where_it_is() -> None:
    """A process that it starts would inherit its core."""
    before, threads = cores_of_all(), torch.get_num_threads()
    try:
        CpuAffinity().resize(len(os.sched_getaffinity(0)))
        assert not placed_since(before)
    finally:
        torch.set_num_threads(threads)


@linux_with_two_cores
def test_the_cores_are_those_that_the_process_may_use(apart: ThreadPoolExecutor) -> None:
    """A container's or taskset's; there, two threads are more than the cores."""
    core = min(os.sched_getaffinity(0))
    apart.submit(os.sched_setaffinity, 0, {core}).result()
    team = apart.submit(CpuAffinity).result()
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
    team = apart.submit(CpuAffinity).result()
    for size in (2, 1):
        apart.submit(team.resize, size).result()
        assert apart.submit(torch.get_num_threads).result() == size
