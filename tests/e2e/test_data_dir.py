"""`CHATSTREAM_DATA_DIR`, and a checkout that nobody can write into."""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, ManagedProcess

SHOW = "from django.conf import settings; print('name', settings.DATABASES['default']['NAME'])"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project without a right to write anywhere in it."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "checkout"
    names = ("chatsite", "streaming", "templates", "static", "locale", "manage.py")
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in paths:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def contents(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in str(path)}


def test_a_checkout_that_is_for_reading_only_serves(checkout: Path, tmp_path: Path) -> None:
    """Whoever may write everywhere writes into the data folder all the same."""
    before, data = contents(checkout), tmp_path / "lib" / "chatstream"
    env = {"CHATSTREAM_DATA_DIR": str(data), "SECRET_KEY": ""}
    server = ManagedProcess("serve", "--port", "0", env=env, checkout=checkout)
    url = server.wait_for(r"Chat page +(http://\S+)/")[1]
    server.wait_for("^Ready:")
    page = httpx.get(url, follow_redirects=True, timeout=60).text
    script = re.search(r'src="(/static/streaming/chat/chat\.[0-9a-f]+\.js)"', page)
    assert script, page
    assert httpx.get(url + script[1]).status_code == 200
    assert server.stop() == 0
    assert contents(checkout) == before
    assert {"db.sqlite3", "secret_key", "staticfiles"} <= {path.name for path in data.iterdir()}
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert "Traceback" not in server.output


@pytest.mark.parametrize("secret", ["", "given"])
def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path, secret: str) -> None:
    (tmp_path / "file").touch()
    env = {"CHATSTREAM_DATA_DIR": str(tmp_path / "file" / "data"), "SECRET_KEY": secret}
    server = ManagedProcess("serve", "--port", "0", env=env)
    server.process.wait(60)
    assert server.stop() != 0
    assert "Traceback" not in server.output
    assert f"The data folder {tmp_path}/file/data cannot be made: " in server.output
    assert "CHATSTREAM_DATA_DIR" in server.output


def test_a_path_from_home_is_understood(tmp_path: Path) -> None:
    env = {"CHATSTREAM_DATA_DIR": "~/chat", "HOME": str(tmp_path), "SECRET_KEY": ""}
    shown = ManagedProcess("shell", "-c", SHOW, env=env)
    shown.wait_for(f"^name {tmp_path}/chat/db.sqlite3$")
    assert shown.process.wait(60) == 0
    assert (tmp_path / "chat" / "secret_key").is_file()


def test_serve_serves_the_application_that_the_settings_name(tmp_path: Path) -> None:
    server = ManagedProcess(
        "serve",
        "--port",
        "0",
        env={
            "DJANGO_SETTINGS_MODULE": "tests.support.other_site",
            "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        },
    )
    url = server.wait_for(r"Chat page +(http://\S+)/")[1]
    server.wait_for("^Ready:")
    assert httpx.get(url, timeout=60).headers["x-site"] == "another"
    assert server.stop() == 0


def test_an_application_that_is_not_there_is_named(tmp_path: Path) -> None:
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.support.other_site",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "OTHER_APPLICATION": "tests.nowhere.application",
    }
    server = ManagedProcess("serve", "--port", "0", env=env)
    server.process.wait(120)
    assert server.stop() != 0
    assert "Traceback" not in server.output
    assert "'tests.nowhere'" in server.output
