"""The README's examples, run as printed but for the server's address."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.processes import ROOT, ServeProcess

ADDRESS = "127.0.0.1:8000"
PATIENCE = 120


def example(marker: str, server: ServeProcess) -> str:
    """The fenced block behind `<!-- marker -->`, with the server's address."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        rf"^<!-- {marker} -->\n```\w+\n(.*?)^```", readme, re.DOTALL | re.MULTILINE
    )
    if marker != "terminal":
        assert ADDRESS in block
    return block.replace(ADDRESS, server.url.removeprefix("http://"))


def run(*command: str, cwd: Path = ROOT, **env: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("marker", ["client", "websockets"])
def test_python(server: ServeProcess, tmp_path: Path, marker: str) -> None:
    script = tmp_path / "example.py"
    script.write_text(example(marker, server), encoding="utf-8")
    printed = run(sys.executable, str(script), cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert "position" in printed
    assert "Paris" in printed
    assert "completed" in printed


def test_terminal(server: ServeProcess, tmp_path: Path) -> None:
    """Printed for the address that `serve` takes by default; here it is another one."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@" --url {server.url}\n')
    python.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert "Paris" in run("sh", "-c", example("terminal", server), PATH=path)


def test_browser(server: ServeProcess, browser: Browser) -> None:
    page = browser.new_page()
    try:
        page.goto(f"{server.url}/")
        with page.expect_console_message(
            lambda message: message.text.startswith("completed"), timeout=PATIENCE * 1000
        ) as last:
            # From outside the page's own scripts, as its console does.
            page.evaluate(f"() => {{ {example('browser', server)} }}")
        assert "Paris" in last.value.text
    finally:
        page.close()


def test_curl(server: ServeProcess) -> None:
    output = run("sh", "-c", example("curl", server))
    lines = [line for line in output.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert "Paris" in text


def test_openai(server: ServeProcess) -> None:
    assert "Paris" in run(sys.executable, "-c", example("openai", server))
