"""The tests of the whole chain once more, on a real PostgreSQL server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.long_runs import IS_LONG
from tests.support.postgresql import PostgreSQL, start_or_skip
from tests.support.processes import ROOT

SECONDS = 1800

AT_THE_DOORS = (
    "api_programs", "api_requests", "crowd", "engine_away", "error_messages", "guard",
    "half_characters", "html_socket", "hung_engine", "metrics", "passing", "private_files",
    "queue_socket", "search_case", "strangers", "thinking_api", "chat_parts", "text_completions",
    "strangers_of_items", "versions", "responses/test_refusals", "responses/test_transport",
    "responses/test_specification", "responses/test_tools", "responses/test_background",
    "sockets/test_responses_socket", "files/test_api", "files/test_socket", "files/test_views",
)  # fmt: skip
"""What these ask of the database, the others ask as well; or it is about SQLite (`search_case`,
`private_files`, whose processes have files of their own)."""

ASKED_BY_OTHERS = (
    "api", "installing", "limits", "operating", "queue_page", "resume", "visitors",
    "queue_actions/test_workers",
)  # fmt: skip
"""Each statement that these send to PostgreSQL, but for a test's own, others that are run here send
as well; they are left to CHATSTREAM_TEST_LONG=1."""

INTEGRATION = "tests/integration"
REFUSED_BEFORE = f"{INTEGRATION}/test_admin_lookups.py::test_no_lookup_tells_what_a_text_is"
"""Thousands of lookups of which none may come as far as the database."""


def left_out() -> list[str]:
    """Files that are not run here, by their paths in the folder."""
    names = AT_THE_DOORS if IS_LONG else AT_THE_DOORS + ASKED_BY_OTHERS
    return [f"{name}.py" if "/" in name else f"test_{name}.py" for name in names]


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    server = start_or_skip()
    yield server
    server.stop()


def test_the_integration_tests_pass_on_postgresql(postgresql: PostgreSQL) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"),
            *(f"--ignore={INTEGRATION}/{path}" for path in left_out()),
            f"--deselect={REFUSED_BEFORE}",
            INTEGRATION,
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
