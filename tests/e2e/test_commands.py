"""`serve` and `runworker` as a person meets them: start, refuse with a sentence, end."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.support.processes import ManagedProcess, ServeProcess


def refusal(*args: str, **env: str) -> str:
    """What a command says that does not start; it must not be a traceback."""
    process = ManagedProcess(*args, env=env)
    process.process.wait(120)
    assert process.stop() != 0
    assert "Traceback" not in process.output
    return process.output


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        output = refusal("serve", "--port", port, DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    assert f"Port {port} on 127.0.0.1 is taken" in output


def test_a_wrong_setting_is_named() -> None:
    output = refusal("serve", CHATSTREAM_MAX_RUNNING="many")
    assert "CHATSTREAM_MAX_RUNNING='many'" in output


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    output = refusal(
        "serve",
        "--port",
        "0",
        CHATSTREAM_MODEL=str(tmp_path / "nowhere.gguf"),
        DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3",
    )
    assert "nowhere.gguf" in output


def test_a_database_that_cannot_be_used_is_named() -> None:
    output = refusal("serve", "--port", "0", DATABASE_URL="sqlite:////proc/none/db.sqlite3")
    assert "database" in output


@pytest.mark.parametrize("command", [["createapikey", "ann"], ["prune", "--older-than", "9d"]])
def test_a_database_without_tables_is_named(tmp_path: Path, command: list[str]) -> None:
    output = refusal(*command, DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    assert "The database cannot be used: no such table" in output


def test_a_secret_is_required_with_redis() -> None:
    output = refusal("serve", REDIS_URL="redis://127.0.0.1:1/0", SECRET_KEY="")
    assert "SECRET_KEY is required" in output


def test_a_worker_process_needs_redis() -> None:
    assert "needs REDIS_URL" in refusal("runworker", "generation")


def test_serve_without_a_worker_needs_redis() -> None:
    assert "REDIS_URL" in refusal("serve", "--no-worker")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, signum: signal.Signals) -> None:
    server = ServeProcess(tmp_path)
    server.wait_until_ready()
    assert "createsuperuser" in server.output
    assert server.stop(signum) == 0
    assert "Traceback" not in server.output
