"""Starts `manage.py` commands as real processes, for tests that need real signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180
STOP_SECONDS = 30


def clean_environ(**changes: str) -> dict[str, str]:
    """This process's environment without ChatStream's own settings, plus `changes`."""
    ours = {"REDIS_URL", "DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "LOG_LEVEL"}
    ours |= {"FILES_STORAGE", "FILES_STORAGE_OPTIONS"}
    ours.add("DJANGO_SETTINGS_MODULE")  # set for the tests; a command names its own
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours
        and (not name.startswith("CHATSTREAM_") or name == "CHATSTREAM_CACHE_DIR")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "SECRET_KEY": "only-for-tests", **changes}


class ManagedProcess:
    """One `manage.py` process, or another `program`; its output is collected line by line."""

    def __init__(
        self,
        *args: str,
        env: dict[str, str] | None = None,
        checkout: Path = ROOT,
        program: Sequence[str] = (sys.executable, "manage.py"),
    ) -> None:
        self.env = clean_environ(**(env or {}))
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [*program, *args],
            cwd=checkout,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def has_loaded(self, library: str) -> bool:
        """Whether it has mapped a shared library, as far as this system says (Linux)."""
        maps = Path(f"/proc/{self.process.pid}/maps")
        return maps.exists() and library in maps.read_text()

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """The first match of a line; fails with the output if the process ends or stays silent."""

        def look() -> re.Match[str] | None:
            return next((found for line in self.lines if (found := re.search(pattern, line))), None)

        with self._news:
            self._news.wait_for(lambda: look() or not self._reader.is_alive(), seconds)
            found = look()
        if not found:
            raise AssertionError(f"no line matches {pattern!r} in:\n{self.output}")
        return found

    def pause(self) -> None:
        """Send SIGSTOP, and wait until no thread runs: one in the kernel goes on for a moment and
        may take a lock yet."""
        self.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while any(state not in "tTZX" for state in self._thread_states()):
            if time.monotonic() > deadline:
                raise AssertionError("a thread did not stop")
            time.sleep(0.005)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _thread_states(self) -> Iterator[str]:
        """The state letter of each thread (proc(5): the field after the parenthesised name); none
        where there is no /proc."""
        for task in Path(f"/proc/{self.process.pid}/task").glob("*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield (task / "stat").read_text().rpartition(")")[2].split()[0]

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask the process to end, and wait; killed if it does not. The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the process did not end on {signum}:\n{self.output}") from None
        finally:
            self._reader.join(STOP_SECONDS)
        return self.process.returncode

    def manage(self, *args: str, **env: str) -> str:
        """Run another command against the same settings and database; its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"manage.py {' '.join(args)} failed:\n{done.stderr}")
        return done.stdout


class ServeProcess(ManagedProcess):
    """`manage.py serve` on a free port; `url` is known once it listens."""

    def __init__(self, folder: Path, *args: str, env: dict[str, str] | None = None) -> None:
        database = {"DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"}
        super().__init__("serve", "--port", "0", *args, env={**database, **(env or {})})
        self.url = self.wait_for(r"Chat page +(http://\S+)/")[1]

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/ws/chat/"

    def wait_until_ready(self) -> None:
        self.wait_for(r"^Ready:")
