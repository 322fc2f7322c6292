"""Debian's Prometheus as a process, and relays that ask a target as its other versions do."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.support.prerequisites import missing

PATIENCE = 60
"""Seconds."""

ACCEPTS = {
    "2.42": (
        "application/openmetrics-text;version=1.0.0,"
        "application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    ),
    "2.53": (
        "application/openmetrics-text;version=1.0.0;q=0.5,"
        "application/openmetrics-text;version=0.0.1;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
    "3": (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
    "3 with underscores": (
        "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,"
        "text/plain;version=1.0.0;escaping=underscores;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
    "a browser": "text/html,application/xhtml+xml,*/*;q=0.8",
}
"""What each version says that it reads."""


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`; skips the test where Debian's package is missing."""
    return shutil.which(name) or missing(f"{name} is not installed (apt-get install prometheus)")


@contextlib.contextmanager
def asking_as(accept: str, url: str) -> Iterator[str]:
    """The address of a relay that fetches `url` with this Accept header, whoever asks it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            request = urllib.request.Request(url, headers={"Accept": accept})
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                body = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Prometheus:
    """Scrapes `targets`, addresses by the name of their job, each second, and evaluates `rules`."""

    def __init__(self, folder: Path, targets: dict[str, str], rules: Path) -> None:
        config = folder / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {"job_name": job, "static_configs": [{"targets": [address]}]}
                        for job, address in targets.items()
                    ],
                }
            )
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self._url = f"http://{address}/api/v1"
        self._log = folder / "prometheus.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'series'}",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def api(self, path: str, **fields: str) -> Any:
        """What the address answers; waited for while it starts."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self._log.read_text()
            try:
                address = f"{self._url}/{path}?{urllib.parse.urlencode(fields)}"
                with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                    return json.load(answer)["data"]
            except OSError as error:
                assert time.monotonic() < deadline, (error, self._log.read_text())
                time.sleep(0.2)

    def query(self, expression: str) -> list[float]:
        """The values of all series that it finds now."""
        found = self.api("query", query=expression)["result"]
        return [float(series["value"][1]) for series in found]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
