"""The wheel as somebody installs it: no checkout, another working folder, a home of its own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from streaming.engine.models.store import default_cache_dir
from tests.e2e.chat import ask
from tests.e2e.operators import QUEUE
from tests.e2e.visitors import PASSWORD
from tests.support.fake_engine import words
from tests.support.installed import Installed
from tests.support.processes import ROOT
from tests.support.valkey import Valkey

FOLDERS = ("templates", "static", "locale")
SUPERUSER = {"DJANGO_SUPERUSER_USERNAME": "root", "DJANGO_SUPERUSER_EMAIL": "root@example.org"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


class Files(HTMLParser):
    """The files that a page refers to: styles, scripts, modules, icons."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.paths: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        path = values.get("href" if tag == "link" else "src")
        if tag in ("link", "script", "img") and path:
            self.paths.add(path)


def check_files(client: httpx.Client, page: httpx.Response) -> set[str]:
    """Get all that a page refers to, and what its styles and modules refer to; their names."""
    found: set[str] = set()
    rest = {urljoin(str(page.url), path) for path in Files(page.text).paths}
    while rest:
        url = rest.pop()
        found.add(url)
        answer = client.get(url)
        assert answer.status_code == 200, url
        if "/static/" in url:
            assert re.search(r"\.[0-9a-f]{12}\.\w+$", url), f"{url} is no collected file"
        inner = set[str]()
        if url.endswith(".js"):
            inner |= set(re.findall(r"""(?:from|import)\s*\(?["'](\.[^"']+)["']""", answer.text))
        if url.endswith(".css"):
            inner |= set(re.findall(r"""url\(["']?(?!data:|#)([^"')]+)""", answer.text))
        rest |= {urljoin(url, path) for path in inner} - found
    return {re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", url.partition("/static/")[2]) for url in found}


def test_the_wheel_has_all_that_is_no_code(installed: Installed) -> None:
    packed = set(zipfile.ZipFile(installed.wheel).namelist())
    for folder in FOLDERS:
        here = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert here
        assert {f"streaming/{path.as_posix()}" for path in here} <= packed
    assert {
        f"streaming/locale/ja/LC_MESSAGES/{name}.mo" for name in ("django", "djangojs")
    } <= packed
    code = {path.relative_to(ROOT) for path in (ROOT / "streaming").rglob("*.*") if path.is_file()}
    assert {path.as_posix() for path in code if path.parent.name != "__pycache__"} <= packed
    assert not [name for name in packed if name.startswith(("tests/", "docs/", "data/"))]


def test_the_checkout_is_not_in_the_way(installed: Installed) -> None:
    show = "import chatsite.settings, streaming; print(streaming.__file__, chatsite.__file__)"
    printed = installed.run("shell", "-v", "0", "-c", show)
    assert printed.count(str(installed.packages)) == 2, printed
    refused = installed.start("shell", "-v", "0", "-c", "import tests.support.processes")
    refused.wait_for("No module named 'tests'")
    assert refused.stop() != 0


def test_the_installed_app_serves_everything(installed: Installed) -> None:
    """Page, files, translation, an answer, and the live queue, with the default model."""
    before = installed.contents()
    cache = {"CHATSTREAM_CACHE_DIR": str(default_cache_dir())}
    made = installed.run(  # before the first start: there is no table yet
        "createsuperuser", "--noinput", DJANGO_SUPERUSER_PASSWORD=PASSWORD, **SUPERUSER
    )
    assert "Superuser created successfully." in made
    server = installed.start("serve", "--port", "0", **cache)
    try:
        url = server.wait_for(r"Chat page +(http://\S+)/")[1]
        server.wait_for(r"\(an admin user: chatstream createsuperuser\)")
        server.wait_for("^Ready:")
        with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as client:
            page = client.get("/")
            assert page.status_code == 200
            assert '<html lang="en"' in page.text
            files = check_files(client, page)
            every = {path.name for path in (ROOT / "static/streaming/chat").glob("*.js")}
            assert every <= {path.rpartition("/")[2] for path in files}
            assert any(path.endswith(".css") for path in files)

            ja = {"Accept-Language": "ja"}
            page = client.get("/", headers=ja)
            assert '<html lang="ja"' in page.text
            assert "会話" in page.text
            (catalog,) = [path for path in Files(page.text).paths if "/jsi18n/ja/" in path]
            assert json.dumps("会話").strip('"') in client.get(catalog).text

            login = client.get(f"/admin/login/?next={QUEUE}")
            check_files(client, login)
            form = {"username": "root", "password": PASSWORD, "next": QUEUE}
            token = {"csrfmiddlewaretoken": client.cookies["csrftoken"]}
            queue = client.post("/admin/login/", data={**form, **token}, headers={"Referer": url})
            assert (queue.status_code, queue.url.path) == (200, QUEUE)
            files = check_files(client, queue)
            assert {"streaming/queue/queue.js", "admin/css/base.css"} <= files

        ws_url = f"{url.replace('http', 'ws', 1)}/ws/chat/"
        params = {"temperature": 0, "max_tokens": 30}
        events = asyncio.run(ask(ws_url, "What is the capital of France?", params=params))
        answer = "".join(
            event["delta"] for event in events if event["type"] == "response.output_text.delta"
        )
        assert "Paris" in answer
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.output
    data = installed.home / ".local" / "share" / "chatstream"
    assert {"db.sqlite3", "secret_key", "staticfiles"} <= {path.name for path in data.iterdir()}
    assert installed.contents() == before, "something was written beside the installed code"
    assert not list(installed.elsewhere.iterdir())


def test_an_installed_worker_serves_another_process(
    installed: Installed, valkey: Valkey, tmp_path: Path
) -> None:
    """`python -m streaming serve` and `chatstream runworker`, with an engine from outside."""
    shutil.copy(ROOT / "tests/support/fake_engine.py", tmp_path / "outside_engine.py")
    env = {
        "REDIS_URL": valkey.url,
        "SECRET_KEY": "shared",
        "PYTHONPATH": str(tmp_path),
        "CHATSTREAM_ENGINE": "outside_engine.ProcessEngine",
        "CHATSTREAM_DATA_DIR": str(tmp_path / "data"),
    }
    web = installed.start("serve", "--port", "0", module=True, **env)
    worker = None
    try:
        url = web.wait_for(r"Chat page +(http://\S+)/")[1]
        web.wait_for(r"\(an admin user: python -m streaming createsuperuser\)")
        worker = installed.start("runworker", "generation", **env)
        events = asyncio.run(ask(f"{url.replace('http', 'ws', 1)}/ws/chat/", "stop 3"))
        said = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(said) == "".join(words(3))
    finally:
        assert (worker.stop() if worker else 0, web.stop()) == (0, 0)
    assert "Traceback" not in web.output
    assert (tmp_path / "data" / "db.sqlite3").is_file()
