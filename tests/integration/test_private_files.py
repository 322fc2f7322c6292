"""The record's files are for the eyes of the one who runs the service, whatever the umask."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streaming.record import sqlite_file
from streaming.system import private_files
from tests.support.processes import ROOT, clean_environ

UMASKS = [0o000, 0o022, 0o077]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The project at another place, with a data folder of its own."""
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copytree(ROOT / "chatsite", folder / "chatsite")
    shutil.copy(ROOT / "manage.py", folder)
    for name in ("streaming", "templates", "static", "locale"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


WRITE_AND_LIST = """
import os, pathlib
from django.contrib.sessions.models import Session
from streaming.deployment.migrating import migrate
migrate()
Session(session_key="a", session_data="b", expire_date="2100-01-01T00:00Z").save()
for path in sorted(pathlib.Path(os.environ["LISTED"]).iterdir()):
    print("mode", path.name, oct(path.stat().st_mode & 0o777))
"""


def modes(site: Path, listed: Path, **env: str) -> dict[str, str]:
    """The files of a folder while the database is being written to."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", WRITE_AND_LIST],
        cwd=site,
        env=clean_environ(SECRET_KEY="", LISTED=str(listed), **env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("mode ")]
    return dict(lines)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


ALL = dict.fromkeys(
    ("db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal", "db.sqlite3.migrating", "secret_key"),
    "0o600",
)


def test_a_new_data_folder_is_private(site: Path, umask: int) -> None:
    found = modes(site, site / "data")
    assert ALL.items() >= found.items()
    assert {"db.sqlite3", "db.sqlite3-wal", "secret_key"} <= set(found)
    assert mode(site / "data") == 0o700


def test_an_old_data_folder_is_made_private(site: Path, umask: int) -> None:
    data = site / "data"
    modes(site, data)
    with closing(sqlite3.connect(data / "db.sqlite3")) as held:  # its log stays where it is
        held.execute("BEGIN")
        held.execute("SELECT * FROM django_session").fetchall()
        data.chmod(0o755)
        for path in data.iterdir():
            path.chmod(0o644)
        others = data / "notes.txt"
        others.write_text("not ours")
        others.chmod(0o644)
        found = modes(site, data)
    assert found.pop("notes.txt") == "0o644"
    assert ALL.items() >= found.items()
    assert mode(data) == 0o700


def test_of_a_database_elsewhere_the_file_is_made_private_and_not_the_folder(
    site: Path, tmp_path: Path, umask: int
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    url = f"sqlite:///{folder}/chat.sqlite3"
    for _ in range(2):
        found = modes(site, folder, DATABASE_URL=url)
        assert set(found.values()) == {"0o600"}
        assert mode(folder) == 0o755
        for path in folder.iterdir():
            path.chmod(0o644)


def test_what_is_somebody_elses_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    private_files.tighten_file(file)
    assert mode(file) == 0o644


def test_a_folder_behind_a_link_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    (tmp_path / "theirs").chmod(0o755)
    (tmp_path / "data").symlink_to(tmp_path / "theirs")
    private_files.make_folder(tmp_path / "data")
    assert mode(tmp_path / "theirs") == 0o755


def test_what_is_stricter_stays_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o400)
    private_files.tighten_file(file)
    assert mode(file) == 0o400


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (":memory:", None),
        ("file::memory:?cache=shared", None),
        ("file:some?mode=memory&cache=shared", None),
        ("", None),
        ("/a/b c.sqlite3", "/a/b c.sqlite3"),
        (Path("/a/b"), "/a/b"),
        ("file:/a/b%20c?mode=rw", "/a/b c"),
    ],
)
def test_the_file_behind_a_name(name: object, path: str | None) -> None:
    assert sqlite_file.path_of(name) == (None if path is None else Path(path))


def test_a_file_with_any_name_is_opened_and_never_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1?.sqlite3"
    with closing(sqlite3.connect(path, factory=sqlite_file.Connection)) as connection:
        connection.execute("CREATE TABLE a (b)")
    assert path.stat().st_size
    path.unlink()
    with pytest.raises(sqlite3.OperationalError, match="is gone"):
        sqlite3.connect(path, factory=sqlite_file.Connection)
    assert not path.exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match=r"nowhere/a\.sqlite3"):
        sqlite3.connect(tmp_path / "nowhere" / "a.sqlite3", factory=sqlite_file.Connection)
