"""What `tests/unit/test_bounded.py` has run in other processes."""

import io
import os
import re
import time


def echo(value: object) -> object:
    return value


def pid() -> int:
    return os.getpid()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def hold_the_lock() -> None:
    """Spend years inside one regular expression."""
    re.match(r"(a|a)*$", "a" * 60 + "b")


def fill_memory() -> int:
    return len("x" * 2**33)


def die() -> None:
    os._exit(3)


def fail() -> None:
    raise ValueError("of its own")


def die_at_once(*_: object) -> None:
    """As what sets the bounds of a process."""
    os._exit(4)


def show_on_a_terminal(markdown: str) -> str:
    """What `manage.py chat` prints for an answer."""
    from rich.console import Console

    from streaming.terminal.screen import Bottom

    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")
    console.print(Bottom(markdown, 20))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]
