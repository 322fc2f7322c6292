"""What an action of the live queue is made of: the operator's form, and what is answered to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.http import QueryDict

MOST_AFFECTED = 5_000
"""Responses that one action may end. `DATA_UPLOAD_MAX_NUMBER_FIELDS` leaves room for their ids."""

MOST_LISTED = 50
"""Of those, so many are named before they are ended; the others are counted."""

SHORT_ID = 8
"""Characters of a response's id by which operators know it."""


class Refused(Exception):
    """Nothing was done; the text says why, in the operator's language."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The waiting list before a move at `at` (Unix time): ids in `order`, and those `moved`."""

    at: float
    order: list[str]
    moved: list[str]


@dataclass(frozen=True, slots=True)
class Order:
    """A form that somebody sent who may. `layer` is the channel layer, `operator_id` the user's
    key; `confirmed`: the operator was asked, and means it. `earlier` is what the operator's last
    move can be taken back to."""

    layer: Any
    form: QueryDict
    operator_id: int
    confirmed: bool
    earlier: Earlier | None = None

    def text(self, name: str) -> str:
        """A field without the space around it; empty when it is missing."""
        return str(self.form.get(name) or "").strip()


@dataclass(frozen=True, slots=True)
class Notice:
    """What was done, or what was not; `level` is one of `django.contrib.messages`. `undo` is what
    it can be taken back to."""

    text: str
    level: int = messages.SUCCESS
    undo: Earlier | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Asked before something that hurts. `fields` is the form that does it.

    `effects` are sentences; `affected` names what is meant.
    """

    title: str
    effects: list[str]
    fields: list[tuple[str, str]]
    yes: str
    affected: list[str] = field(default_factory=list)


Reply = Question | list[Notice]


def warned(text: str) -> list[Notice]:
    """Return a reply of one warning."""
    return [Notice(text, messages.WARNING)]


def shown(text: str) -> str:
    """What a form claimed, short enough to be quoted."""
    return text if len(text) <= 80 else f"{text[:79]}…"
