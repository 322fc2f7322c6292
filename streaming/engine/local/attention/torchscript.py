"""Pieces of the forward pass, recorded as TorchScript graphs: one call for a dozen operations.

Called one by one, each operation costs Python some microseconds more than it takes, and asks for
the interpreter's lock twice, which an event loop in the same process may have. Measured on two
cores: a step of one row took 12.6 ms, recorded 6.8 ms. torch means to give TorchScript up for
`torch.compile`, which needs a C++ compiler on a CPU and seconds for each shape; should it go,
everything runs as it is written.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger("streaming.engine")


def recorded(module: nn.Module, *examples: Any) -> Any:
    """Return `module` as a graph, or itself where that cannot be had. `forward` is called with
    `examples` once: tensors, or lists and tuples of them. Later ones may have other sizes, as far
    as `forward` does not look at these in Python."""
    if isinstance(examples[0], Tensor) and examples[0].device.type != "cpu":
        return module  # launching is not what takes the time, and graphs of CUDA are another thing
    trace: Callable[..., Any] = torch.jit.trace
    graph: Callable[..., Any] | None = _tried(trace, module, examples)
    return module if graph is None else graph


def recorded_methods(module: nn.Module, examples: dict[str, tuple[Any, ...]]) -> Any | None:
    """Return the methods named of a module on a CPU as graphs, see `recorded`; None where these
    cannot be had."""
    trace: Callable[..., Any] = torch.jit.trace_module
    return _tried(trace, module, examples)


def _tried(trace: Callable[..., Any], module: nn.Module, examples: Any) -> Any | None:
    try:
        with warnings.catch_warnings(), torch.inference_mode(), unplanned():
            warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
            return trace(module, examples, check_trace=False)
    except (RuntimeError, AttributeError, NotImplementedError):
        _say_so()
    return None


def unplanned() -> AbstractContextManager[None]:
    """Return a context in which graphs run as they were recorded. TorchScript would spend the
    first two calls, ten times as long as others, on planning, and finds nothing here."""
    jit: Any = torch.jit  # says nothing about its types
    context: AbstractContextManager[None] = jit.optimized_execution(False)
    return context


@functools.cache
def _say_so() -> None:
    logger.info("The model's steps cannot be recorded, and take some milliseconds more.")
