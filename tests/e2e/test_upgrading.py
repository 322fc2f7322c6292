"""A database of the release before is migrated with all that is in it, and read as items."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.older_database import BEFORE, CALL, CASES
from tests.support.postgresql import PostgreSQL, start_or_skip
from tests.support.processes import ManagedProcess

SECONDS = 120
OLDER = (sys.executable, "-m", "tests.support.older_database")


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    server = start_or_skip()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """Run a program on a database of one kind; return what it printed."""
    env = {
        "DJANGO_SETTINGS_MODULE": "chatsite.settings",
        "CHATSTREAM_DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
    }
    if request.param == "postgresql":
        env["DATABASE_URL"] = request.getfixturevalue("postgresql").create_database("upgraded")

    def ended(*args: str, **options: Any) -> str:
        process = ManagedProcess(*args, env=env, **options)
        assert process.process.wait(SECONDS) == 0, process.lines
        process.stop()
        return "\n".join(process.lines)

    return ended


def test_what_was_written_before_is_read_as_items(run: Callable[..., str]) -> None:
    run("migrate", "--verbosity=0")
    run("migrate", "streaming", BEFORE.partition("_")[0], "--verbosity=0")  # and back
    run("write", program=OLDER)
    run("migrate", "--verbosity=0")
    *_, printed = run("read", program=OLDER).splitlines()
    shown = json.loads(printed)
    assert set(shown) == set(CASES)
    outputs = {case: shown[case]["resource"]["output"] for case in CASES}
    assert {case: [item["type"] for item in items] for case, items in outputs.items()} == {
        "text": ["message"],
        "thought": ["reasoning", "message"],
        "calls": ["function_call"],
        "refusal": ["message"],
        "cut": ["message"],
        "cancelled": [],
        "failed": [],
        "waiting": [],
    }
    thought, answer = outputs["thought"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm"}]
    assert answer["content"][0]["text"] == "Yes."
    assert outputs["calls"][0]["call_id"] == CALL["id"]
    assert outputs["refusal"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    statuses = {case: each["resource"]["status"] for case, each in shown.items()}
    assert statuses == {case: fields.get("status", "completed") for case, fields in CASES.items()}
    failed = shown["failed"]["resource"]
    assert failed["error"] == {"code": "engine_error", "message": "It broke."}
    assert outputs["cut"][0]["status"] == "incomplete"
    usage = shown["thought"]["resource"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens_details"]) == (3, {"reasoning_tokens": 1})
    assert shown["thought"]["resource"]["store"] is True
    assert shown["thought"]["turns"] == [["user", "Is it so?", ""], ["assistant", "Yes.", "Hm"]]
