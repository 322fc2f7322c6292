"""What the command line says, in the form that every part reads."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

_began = time.monotonic()


@dataclass(frozen=True)
class Options:
    """`repeat`: interleaved repetitions of what is compared. `prompts`: JSON lines with `turns`
    (MT-bench's form), None for those of `workloads/`. `settings`: more of the environment of the
    servers that are measured. `streams`: the part of that name measures these numbers only.
    """

    quick: bool = False
    repeat: int = 3
    model: str = ""
    chat_template: Path | None = None
    dtype: str = "auto"
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    prompts: Path | None = None
    streams: tuple[int, ...] = ()
    peer_url: str = ""
    peer_model: str = ""
    minutes: float = 30.0
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def server_settings(self) -> dict[str, str]:
        """The environment of a server that is measured: nobody is kept out by a bound per
        address, since all clients of a benchmark come from one."""
        settings = {
            "CHATSTREAM_DTYPE": self.dtype,
            "CHATSTREAM_MAX_PER_ADDRESS": "0",
            "CHATSTREAM_MAX_SOCKETS": "100000",
            "CHATSTREAM_MAX_CONNECTIONS_PER_ADDRESS": "0",
            "LOG_LEVEL": "WARNING",
        }
        model = {"CHATSTREAM_MODEL": self.model} if self.model else {}
        if self.chat_template:
            model["CHATSTREAM_CHAT_TEMPLATE"] = str(self.chat_template)
        return {**settings, **model, **dict(self.settings)}


def say(text: str) -> None:
    """One line of progress, with the seconds since this process began."""
    print(f"  {time.monotonic() - _began:6.0f} s  {text}", file=sys.stderr, flush=True)
