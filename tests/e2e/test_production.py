"""`serve` in production settings: static files, what the log gives away, and the deploy check."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.e2e.chat import ask, events_to_end, open_chat, send
from tests.support.documented import documented
from tests.support.processes import ROOT, ManagedProcess, ServeProcess, clean_environ
from tests.support.valkey import Valkey, start_or_skip

SECRET_KEY = "a-secret-key-that-nobody-may-ever-see-in-a-log-0123456789"
TOKEN = "a-metrics-token-that-is-secret"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    process = ServeProcess(
        tmp_path_factory.mktemp("site"),
        env={
            "HTTPS": "true",
            "SECRET_KEY": SECRET_KEY,
            "CHATSTREAM_METRICS_TOKEN": TOKEN,
            "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
            "LOG_LEVEL": "DEBUG",
        },
    )
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def cookies(self) -> SimpleCookie:
        return SimpleCookie("; ".join(self.headers.get_all("Set-Cookie", [])))


def get(site: ServeProcess, path: str, **headers: str) -> Answer:
    """As a proxy asks that has ended TLS."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET", path, headers={"X-Forwarded-Proto": "https", **given})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def assets(site: ServeProcess, page: str) -> set[str]:
    """Every static file a page loads: those it names, and what its modules and styles name."""
    found: set[str] = set()
    todo = re.findall(rb"""(?:src|href)=["'](/static/[^"']+)""", get(site, page).body)
    left = [path.decode() for path in todo]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        if path.endswith((".js", ".css")):
            text = get(site, path).body.decode()
            pattern = (
                r"""(?:\bfrom|^import|\bimport\()\s*["'](.+?)["']"""
                if path.endswith(".js")
                else r"""url\(["']?(.+?)["']?\)"""
            )
            names = re.findall(pattern, text, re.M)
            left += [urljoin(path, name) for name in names if not name.startswith("data:")]
    return found


@pytest.mark.parametrize("page", ["/", "/admin/login/"])
def test_static_files_are_cached_for_good_by_their_hash(site: ServeProcess, page: str) -> None:
    paths = assets(site, page)
    assert paths
    for path in paths:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", path), path
        plain = get(site, path)
        assert plain.status == 200, path
        assert "immutable" in plain.headers["Cache-Control"], path
        age = re.search(r"max-age=(\d+)", plain.headers["Cache-Control"])
        assert age
        assert int(age[1]) > 365 * 24 * 3600


def test_the_modules_of_the_page_are_among_them(site: ServeProcess) -> None:
    names = {re.sub(r"\.[0-9a-f]{12}", "", path) for path in assets(site, "/")}
    assert "/static/streaming/chat/chat.js" in names
    assert "/static/streaming/shared/words.js" in names  # only another module names it


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip", "gzip"), ("br, gzip", "br")])
def test_static_files_are_compressed(site: ServeProcess, accepted: str, encoding: str) -> None:
    for path in assets(site, "/"):
        if path.endswith((".js", ".css")) and len(plain := get(site, path).body) > 1000:
            packed = get(site, path, Accept_Encoding=accepted)
            assert packed.headers["Content-Encoding"] == encoding, path
            assert len(packed.body) < len(plain)
            assert "Accept-Encoding" in packed.headers["Vary"]


def test_without_tls_a_browser_is_sent_to_https_and_a_probe_is_not(site: ServeProcess) -> None:
    page = get(site, "/", X_Forwarded_Proto="http")
    assert page.status == 301
    assert page.headers["Location"].startswith("https://")
    assert get(site, "/healthz", X_Forwarded_Proto="http", Host="10.1.2.3").status == 200
    assert get(site, "/readyz", X_Forwarded_Proto="http", Host="10.1.2.3").status == 200
    assert "max-age" in get(site, "/").headers["Strict-Transport-Security"]


def test_metrics_of_one_process_are_all_in_one_place(site: ServeProcess) -> None:
    assert get(site, "/metrics", X_Forwarded_For="192.0.2.1").status == 403
    metrics = get(site, "/metrics", X_Forwarded_For="192.0.2.1", Authorization=f"Bearer {TOKEN}")
    assert metrics.status == 200
    for name in ("generation_tokens_total", "websocket_connections", 'workers{state="ready"} 1.0'):
        assert f"chatstream_{name}".encode() in metrics.body


async def test_no_secret_and_nothing_that_people_wrote_is_logged(site: ServeProcess) -> None:
    site.manage("createsuperuser", "--noinput", "--username=ada", "--email=a@example.org",
                DJANGO_SUPERUSER_PASSWORD="her-very-own-password")  # fmt: skip
    make_key = (
        "from django.contrib.auth.models import User; from streaming.identity import keys;"
        "print(keys.create(User.objects.get(), 'laptop')[1])"
    )
    key = site.manage("shell", "--no-imports", "-c", make_key).strip().splitlines()[-1]
    assert key.startswith("cs-")

    visitor = get(site, "/").cookies["visitor"].value
    login = get(site, "/admin/login/")
    token = login.cookies["csrftoken"].value
    get(site, "/admin/", Cookie=f"visitor={visitor}; csrftoken={token}")
    get(site, f"/nowhere/?key={key}&password=her-very-own-password")
    get(site, "/", Host="not-allowed.example.org")
    get(site, "/metrics", Authorization=f"Bearer {TOKEN}x", X_Forwarded_For="192.0.2.1")

    headers = {"Authorization": f"Bearer {key}"}
    for text in ("my private words", "fail 2"):
        socket = await open_chat(site.ws_url, additional_headers=headers)
        await send(socket, "response.create", input=text, params={"max_tokens": 5})
        await events_to_end(socket)
        await send(socket, "response.create", input=5, secret=key)
        await events_to_end(socket)
        await socket.close()
    done = (await ask(site.ws_url, "stop 2"))[-1]
    assert done["status"] == "completed"

    site.wait_for(rf"Response {done['response_id']}")  # what comes before it is in the log, too
    for secret in (SECRET_KEY, TOKEN, key, visitor, token, "her-very-own-password"):
        assert secret not in site.output
    for words in ("my private words", "w0 w1"):
        assert words not in site.output


def test_passwords_in_addresses_are_not_logged() -> None:
    """Neither when the servers are away, nor when the address is wrong."""
    env = {
        "REDIS_URL": "redis://:the-redis-password@127.0.0.1:1/0",
        "DATABASE_URL": "postgres://chat:the-database-password@127.0.0.1:1/chat",
        "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
        "LOG_LEVEL": "DEBUG",
    }
    commands = (["serve", "--port", "0"], ["checkworker"], ["migrate"])
    refused = [ManagedProcess(*args, env=env) for args in commands]  # at once: each waits long
    worker = ManagedProcess("runworker", "generation", env=env)
    try:
        for process in refused:
            process.process.wait(120)
        worker.wait_for("Waiting for the database")
    finally:
        statuses = [process.stop() for process in (*refused, worker)]
    assert 0 not in statuses[:-1]
    for process in (*refused, worker):
        assert process.output
        assert "the-redis-password" not in process.output
        assert "the-database-password" not in process.output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_FORMAT", "xml"),
        ("HTTPS", "perhaps"),
        ("DEBUG", "2"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "nonsense://me:the-password@host/name"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://:the-password@[::1"),
        ("REDIS_URL", "redis://:the-password@host:many"),
    ],
)
def test_a_wrong_setting_of_the_site_is_named_without_its_secrets(name: str, value: str) -> None:
    process = ManagedProcess("check", env={name: value})
    process.process.wait(60)
    assert process.stop() == 1
    assert f"{name}" in process.output
    assert "is not allowed" in process.output
    assert "Traceback" not in process.output
    assert "the-password" not in process.output


def test_the_deploy_check_has_no_warning_with_the_documented_settings() -> None:
    command = documented("deployment.md", "check")
    assert "check --deploy" in command
    path = f"{Path(sys.executable).parent}:{clean_environ()['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        env=clean_environ(PATH=path, SECRET_KEY=""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "System check identified no issues" in done.stdout + done.stderr
    assert "WARNINGS" not in done.stdout + done.stderr


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = start_or_skip()
    yield server
    server.stop()


def test_a_worker_is_checked_without_http(valkey: Valkey, tmp_path: Path) -> None:
    env = {
        "REDIS_URL": valkey.url,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
        "CHATSTREAM_LEASE_SECONDS": "1",
    }
    check = ManagedProcess("checkworker", env=env)
    check.process.wait(60)
    assert check.stop() == 1
    assert "is alive" in check.output

    worker = ManagedProcess("runworker", "generation", env=env)
    worker.wait_for("1[0-9] migrations|[0-9]+ migrations")
    worker.manage("migrate", "--verbosity=0")
    worker.wait_for("serves ")
    pid = str(worker.process.pid)
    assert f":{pid}:" in worker.manage("checkworker", "--ready")
    assert "is ready" in worker.manage("checkworker", "--pid", pid)
    with pytest.raises(AssertionError, match="No worker 1 of"):
        worker.manage("checkworker", "--pid", "1")

    worker.process.kill()
    worker.process.wait()
    for _ in range(50):
        last = subprocess.run(
            [sys.executable, "manage.py", "checkworker"],
            cwd=ROOT, env=worker.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if last.returncode:
            break
    assert last.returncode == 1
    assert "is alive" in last.stderr


def test_a_check_without_redis_says_where_to_ask() -> None:
    process = ManagedProcess("checkworker")
    process.process.wait(60)
    assert process.stop() == 1
    assert "/readyz" in process.output


def test_a_taken_metrics_port_is_named(valkey: Valkey, tmp_path: Path) -> None:
    env = {
        "REDIS_URL": valkey.url,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
        "CHATSTREAM_WORKER_METRICS_PORT": str(valkey.port),
    }
    migrated = ManagedProcess("migrate", "--verbosity=0", env=env)
    migrated.process.wait(60)
    assert migrated.stop() == 0
    worker = ManagedProcess("runworker", "generation", env=env)
    worker.process.wait(60)
    assert worker.stop() == 1
    assert f"127.0.0.1:{valkey.port}" in worker.output
    assert "Traceback" not in worker.output
