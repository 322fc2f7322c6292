"""The tests of the whole chain once more, on a real PostgreSQL server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.postgresql import PostgreSQL, start_or_skip
from tests.support.processes import ROOT

SECONDS = 900

AT_THE_DOORS = (
    "api_programs", "api_requests", "crowd", "engine_away", "error_messages", "guard",
    "half_characters", "html_socket", "hung_engine", "metrics", "passing", "private_files",
    "queue_socket", "search_case", "strangers", "thinking_api",
)  # fmt: skip
"""What these ask of the database, the others ask as well; or it is about SQLite (`search_case`,
`private_files`, whose processes have files of their own)."""

REFUSED_BEFORE = "tests/integration/test_admin_lookups.py::test_no_lookup_tells_what_a_text_is"
"""Thousands of lookups of which none may come as far as the database."""


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    server = start_or_skip()
    yield server
    server.stop()


def test_the_integration_tests_pass_on_postgresql(postgresql: PostgreSQL) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"),
            *(f"--ignore=tests/integration/test_{name}.py" for name in AT_THE_DOORS),
            f"--deselect={REFUSED_BEFORE}",
            "tests/integration",
        ],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": postgresql.url},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "django.db.backends.postgresql" in done.stdout  # said by the run's header
