"""Files made to break their reader: each is refused with a sentence or read, within bounds of time
and memory, while the server answers everybody else."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from streaming.files import extraction
from tests.support.hostile_files import FILES
from tests.support.processes import ServeProcess

PATIENCE = 120
READ = {
    "a document that links to another host",
    "a document with macros",
    "a document with paths for names",
    "a name of many lines",
    "a picture with a script",
    "a PDF that is a page of HTML",
    "a PDF whose forms draw themselves",
    "an entity of the server's disk",
    "a text with half a pair in UTF-8",
    "JSON 100,000 deep",
}
"""Those that may be read: their text is harmless."""


class Probes(threading.Thread):
    """Asks for `/healthz` again and again."""

    def __init__(self, server: ServeProcess) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._address = urlsplit(server.url)
        self.peak = 0  # bytes of address space of a process that reads
        self._over = threading.Event()
        self.seconds: list[float] = []
        self.failed: list[str] = []

    def run(self) -> None:
        while not self._over.wait(0.02):
            began = time.monotonic()
            try:
                assert self._address.hostname
                connection = HTTPConnection(self._address.hostname, self._address.port, timeout=60)
                connection.request("GET", "/healthz")
                if (status := connection.getresponse().status) != 200:
                    self.failed.append(str(status))
                connection.close()
            except OSError as error:
                self.failed.append(repr(error))
            self.seconds.append(time.monotonic() - began)
            if len(self.seconds) % 10 == 0:
                self.peak = max(self.peak, largest(self._server))

    def stop(self) -> None:
        self._over.set()
        self.join(PATIENCE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    env = {"CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine"}
    process = ServeProcess(tmp_path_factory.mktemp("hostile"), env=env)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


def largest(server: ServeProcess) -> int:
    """Bytes of address space of the largest process that reads a file."""
    found = [0]
    for child in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if child.rlimit(psutil.RLIMIT_AS)[0] == extraction.MEMORY_BYTES:
                found.append(child.memory_info().vms)
        except psutil.Error:
            continue
    return max(found)


def test_hostile_files_are_refused_or_bounded(server: ServeProcess) -> None:
    assert len(FILES) >= 40
    assert extraction.SECONDS <= 10
    assert extraction.MEMORY_BYTES <= 512 * 2**20
    probes = Probes(server)
    with httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False) as web:
        page = web.get("/").text
        mark = re.search(r'"owner": "(\w+)"', page)
        assert mark
        headers = {"X-Owner": mark[1], "X-CSRFToken": web.cookies["csrftoken"]}

        def sent(name: str, data: bytes) -> tuple[httpx.Response, float]:
            """The answer, and seconds; again while the server is busy, as the page does it."""
            until = time.monotonic() + PATIENCE
            while True:
                began = time.monotonic()
                answer = web.post("/files/", headers=headers, files={"file": (name, data)})
                if answer.status_code != 503 or began > until:
                    return answer, time.monotonic() - began

        first, _ = sent("a.txt", b"caf\xe9")  # the processes start with it
        assert first.status_code == 201, first.text
        probes.start()
        slowest = 0.0

        def give(title: str) -> tuple[str, float, httpx.Response]:
            name, make = FILES[title]
            data = make()
            answer, took = sent(name, data)
            return title, took, answer

        with ThreadPoolExecutor(2) as two:
            answers = list(two.map(give, FILES))
        for title, took, answer in answers:
            slowest = max(slowest, took)
            said = answer.json()
            told = said.get("message") or f"{said['kind']}, {said['tokens']} tokens"
            print(f"{took:5.1f} s {answer.status_code} {title}: {told}")
            if answer.status_code == 201:
                assert title in READ, title
                assert "/" not in said["name"]
                assert "\n" not in said["name"]
            else:
                assert answer.status_code == 200, answer.text
                assert told.endswith(".")
        downloads = web.get(said["url"])
    probes.stop()
    probes.seconds.sort()
    p99 = probes.seconds[int(len(probes.seconds) * 0.99)]
    peak = probes.peak / 2**20
    print(f"slowest {slowest:.1f} s; largest {peak:.0f} MiB; {len(probes.seconds)} probes")
    print(f"/healthz median {probes.seconds[len(probes.seconds) // 2]:.3f} s, p99 {p99:.3f} s")
    assert not probes.failed
    assert len(probes.seconds) >= len(FILES)
    assert probes.peak <= extraction.MEMORY_BYTES
    assert downloads.headers["Content-Disposition"].startswith("attachment")
    assert downloads.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in downloads.headers["Content-Security-Policy"]
    assert downloads.headers["Content-Type"] == "application/octet-stream"
