"""`manage.py chat`: talk to a running server from a terminal, a pipe or a script."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from django.core.management import BaseCommand, CommandError

from streaming.client import ChatError, Sampling
from streaming.terminal import words
from streaming.terminal.plain import FAILED, INTERRUPTED, answer_once
from streaming.terminal.session import Session

KEY_VARIABLE = "CHATSTREAM_API_KEY"
_SAMPLING: dict[str, tuple[type, str]] = {
    "max_tokens": (int, "most tokens of an answer"),
    "temperature": (float, "from 0; 0 for the likeliest token each time"),
    "top_p": (float, "0 to 1; 0 for the likeliest token each time"),
    "top_k": (int, "from 1; 0 for no bound"),
    "seed": (int, "the same seed gives the same answer"),
    "repetition_penalty": (float, "0.5 to 2"),
    "reasoning_effort": (
        str,
        "how much a model that can think does so first: none, minimal, low, medium, high or xhigh",
    ),
}


class Command(BaseCommand):
    """Asks a server one prompt, or opens a conversation in the terminal."""

    help = (
        "Talk to a running ChatStream server. With a prompt, or with piped input as the prompt, "
        "the answer is printed as plain text; else a conversation begins in the terminal."
    )
    requires_system_checks = []  # a client needs neither the model nor the database

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("prompt", nargs="?", help="what to ask")
        parser.add_argument(
            "--url",
            default="ws://127.0.0.1:8000/ws/chat/",
            help="the server's address (default: %(default)s)",
        )
        parser.add_argument(
            "--api-key",
            default=os.environ.get(KEY_VARIABLE) or None,
            help="an account's API key; without one, or with `anonymous` for it, a visitor asks "
            f"(default: {KEY_VARIABLE} of the environment)",
        )
        for name, (kind, text) in _SAMPLING.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
        parser.add_argument(
            "--instructions",
            metavar="TEXT",
            help="what the conversation's answers are to keep to (a system prompt), or `@` and the "
            "path of a file with it; empty: not even your account's instructions",
        )
        parser.add_argument(
            "--reasoning",
            action="store_true",
            help="write what the model thinks to the standard error; the output has the answer",
        )

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        """Talk, and exit with 0, with 1 after an error, or with 130 when interrupted."""
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            status = self.chat(**options)
        except ChatError as error:
            print(words.of_error(error), file=sys.stderr)
            status = FAILED
        except KeyboardInterrupt:
            status = INTERRUPTED
        except BrokenPipeError:
            # The reader has enough. Python would complain when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = FAILED
        sys.exit(status)

    def chat(self, prompt: str | None, url: str, api_key: str | None, **options: Any) -> int:
        """Ask one prompt, or converse. Return the exit status.

        Raises ChatError, and CommandError without a prompt.
        """
        params: Sampling = {  # type: ignore[assignment]  # checked where they are sent
            name: options[name] for name in _SAMPLING if options[name] is not None
        }
        on_terminal = prompt is None and sys.stdin.isatty() and sys.stdout.isatty()
        if prompt is None and not on_terminal:
            prompt = sys.stdin.read().rstrip("\n")
        if prompt is not None and not prompt.strip():
            raise CommandError("There is no prompt.")
        instructions = options["instructions"]
        if instructions is not None:
            instructions = instructions_of(instructions)
        session = Session(address_of(url), api_key, params, instructions)
        try:
            if prompt is not None:
                return answer_once(session, prompt, sys.stdout, sys.stderr, options["reasoning"])
            self.converse(session)
            return 0
        finally:
            session.close()

    def converse(self, session: Session) -> None:
        """Converse on the terminal until the person leaves."""
        import contextlib

        from rich.console import Console

        from streaming.terminal.screen import Screen

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # gives `input` its line editing and its history
        Screen(session, Console()).run()


def instructions_of(text: str) -> str:
    """Return the instructions, of `@path` the file's. Raises CommandError for a file that cannot be
    read."""
    if not text.startswith("@"):
        return text
    path = Path(text[1:]).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        raise CommandError(f"The instructions cannot be read from {path}: {error}") from None


def address_of(url: str) -> str:
    """Return the WebSocket's URL for an address as people give it: `https://host` is enough."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path if parts.path.strip("/") else "/ws/chat/"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))
