"""What the messages call this installation's commands."""

from __future__ import annotations

import pytest

from streaming.system.command_line import program


@pytest.mark.parametrize(
    ("started", "called"),
    [
        ("manage.py", "python manage.py"),
        ("/srv/venv/bin/chatstream", "chatstream"),
        ("/srv/venv/lib/python3.11/site-packages/streaming/__main__.py", "python -m streaming"),
        ("/srv/venv/bin/uvicorn", "python manage.py"),
        ("/srv/venv/lib/python3.11/site-packages/pytest/__main__.py", "python manage.py"),
        ("", "python manage.py"),
    ],
)
def test_a_command_is_called_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, started: str, called: str
) -> None:
    monkeypatch.setattr("sys.argv", [started])
    assert program() == called
