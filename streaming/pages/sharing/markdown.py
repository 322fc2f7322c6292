"""A conversation as Markdown: what was asked is quoted, what was answered stands as it was written.

Whatever somebody wrote ends where their turn ends: a fence or a comment that was left open would
take all that follows it with it. A quotation closes by itself whatever was opened in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from streaming.models import Conversation
from streaming.pages.calls import Call
from streaming.pages.sharing.closing import closed, lines_of
from streaming.pages.sharing.document import DocumentTurn, path_through, turns_of
from streaming.record.export_formats import FORMATS

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def lines(title: str, turns: Iterable[DocumentTurn], *, model: str = "") -> Iterator[str]:
    """Yield the document, a turn at a time; `model` answers at present."""
    yield f"# {escaped(title or _('Untitled'))}\n\n"
    yield _("Exported %(when)s") % {"when": _when(timezone.now())} + "\n"
    if model:
        yield "\n" + _("Model at present: %(name)s") % {"name": escaped(model)} + "\n"
    for turn in turns:
        yield "".join(_turn(turn))


def newest_path(conversation: Conversation) -> Iterator[str]:
    """Yield the newest path of a conversation, as it is kept in an archive."""
    return lines(conversation.title, turns_of(path_through(conversation, None)))


FORMATS["md"] = newest_path


def escaped(text: str) -> str:
    """Return a text on one line that Markdown takes for nothing but text."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def quoted(text: str) -> str:
    """Return a text as a quotation, which ends all that was begun in it."""
    return "".join(f"> {line}\n" if line else ">\n" for line in lines_of(text))


def _turn(turn: DocumentTurn) -> Iterator[str]:
    if turn.prompt or turn.files:
        yield f"\n## {_('You')} · {_when(turn.asked_at)}\n\n"
        yield quoted(turn.prompt) if turn.prompt else ""
        yield "".join(f"\n- {escaped(name)}" for name in turn.files) + "\n" * bool(turn.files)
    for result in turn.results:
        yield f"\n## {_('Result of a function')} · {_when(turn.asked_at)}\n\n"
        yield quoted(result.result or "")
    yield f"\n## {escaped(turn.model) or _('Assistant')}\n\n"
    if turn.reasoning:
        yield f"<details>\n<summary>{_('Thought')}</summary>\n\n"
        yield quoted(turn.reasoning)
        yield "\n</details>\n\n"
    if turn.answer:
        yield closed(turn.answer)
    elif turn.is_open:
        yield f"*{_('Not answered yet.')}*\n"
    elif not turn.refusal and not turn.calls:
        yield f"*{_('No answer.')}*\n"
    if turn.refusal:
        yield f"\n*{_('The model declined')}*\n\n" + quoted(turn.refusal)
    for call in turn.calls:
        yield "".join(_call(call))


def _call(call: Call) -> Iterator[str]:
    yield f"\n**{_('Function call')}: {escaped(call.name)}**\n\n" + quoted(call.arguments)
    if call.result is not None:
        yield f"\n**{_('Result')}**\n\n" + quoted(call.result)


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
