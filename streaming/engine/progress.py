"""Shows the progress of slow work on stderr: a bar on a terminal, a line in the log elsewhere."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

logger = logging.getLogger("streaming.engine.models")


class ProgressUpdate(Protocol):
    """Shows how much is completed, of a total that may not be known yet."""

    def __call__(self, completed: float, total: float | None = None) -> None: ...


@contextmanager
def progress_display(description: str, *, enabled: bool = True) -> Iterator[ProgressUpdate]:
    """Show `description` while the block runs; the yielded function takes (completed, total).

    Without a terminal on stderr the description is logged once at INFO and no bar is drawn.
    """
    if not (enabled and sys.stderr.isatty()):
        logger.info("%s", description)
        yield lambda completed, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None)
        yield lambda completed, total=None: bar.update(task, completed=completed, total=total)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Run the block without transformers' progress bars, which would write over ours."""
    transformers_logging: Any = importlib.import_module("transformers.utils.logging")
    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()
