"""A command on a terminal of its own, as somebody sits before it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence

import psutil

from tests.support.processes import ROOT, clean_environ

PATIENCE = 60.0
_STYLING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`output` is every byte that reached the terminal; `until` reads on to a text."""

    def __init__(
        self, command: Sequence[str], *, columns: int = 80, lines: int = 24, **env: str
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.output = ""
        self._seen = 0  # of what `shown` has
        self._bytes = b""
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**clean_environ(), "TERM": "xterm-256color", **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    @property
    def shown(self) -> str:
        """The output without colours and cursor movements."""
        return _STYLING.sub("", self.output).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt_prompt(self) -> None:
        """Ctrl-C at the prompt. Python misses a signal between readline's prompt and its wait for
        a key, where no person's hand is quick enough to put one: type it once the process has
        slept for half a second, which it does not while it only has no turn on a busy machine."""
        process, asleep = psutil.Process(self.process.pid), 0
        while asleep < 10:
            time.sleep(0.05)
            asleep = asleep + 1 if process.status() == psutil.STATUS_SLEEPING else 0
        self.type("\x03")

    def until(self, pattern: str) -> re.Match[str]:
        """The next match in what is shown; fails with all of it if it does not come."""
        ends = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern).search(self.shown, self._seen)):
            if time.monotonic() > ends or not self._read():
                raise AssertionError(f"{pattern!r} is not in:\n{self.shown[self._seen :]}")
        self._seen = found.end()
        return found

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        """Whether there was more within the patience."""
        if not select.select([self._master], [], [], PATIENCE)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux says that the other end is closed
            return False
        self._bytes += data
        self.output = self._bytes.decode("utf-8", "replace")
        return bool(data)


def chat(*args: str, **options: object) -> Terminal:
    """`manage.py chat` on a terminal."""
    return Terminal([sys.executable, "manage.py", "chat", *args], **options)  # type: ignore[arg-type]
