"""A site under attack from many addresses: hostile connections, and somebody who wants an answer
meanwhile. Needs Linux, where all of 127.0.0.0/8 is this machine."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.faults.deployment import Deployment, serving
from tests.support.raw_websocket import address_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.0/8 and prlimit")


@contextlib.contextmanager
def soft_files(limit: int) -> Iterator[None]:
    """What is started meanwhile finds this soft limit of open files, as many systems have it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Site:
    """A deployment, its attackers' connections, and what they are told."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.address = address_of(deployment.web.ws_url)
        self.opened: list[socket.socket] = []

    def connect(self, source: str = "127.0.0.1", data: bytes = b"") -> socket.socket:
        """A connection from one of this machine's addresses, on which `data` was sent."""
        found = socket.create_connection(self.address, timeout=20, source_address=(source, 0))
        self.opened.append(found)
        if data:
            found.sendall(data)
        return found

    def leave(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def health(self, source: str = "127.0.0.1") -> float:
        """Seconds that /healthz takes, asked anew from this address. Fails if it is not 200."""
        began = time.monotonic()
        connection = HTTPConnection(*self.address, timeout=20, source_address=(source, 0))
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b'{"status": "ok"}')
        connection.close()
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        return self.deployment.web.process.pid

    def said(self, words: str) -> list[str]:
        return [line for line in self.deployment.web.lines if words in line]


@contextlib.contextmanager
def under_attack(folder: Path, **env: str) -> Iterator[Site]:
    """A site, which logs no traceback while it is attacked, whatever is done to it."""
    with serving(folder, **{"CHATSTREAM_TRUSTED_PROXIES": "127.0.0.9", **env}) as deployment:
        site = Site(deployment)
        try:
            yield site
        finally:
            site.leave()
            assert not site.said("Traceback"), deployment.web.output


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the end; a reset counts as one."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            data += part
    return data


def is_told(connection: socket.socket) -> bool:
    """Whether the other end has said something or ended it, told without waiting."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True
