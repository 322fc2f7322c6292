"""A conversation that is to be imported, before it is in the database.

Rows refer to each other by their places in the lists. Moments are texts in ISO 8601, with their
zone. Knows no database, so that a process that only reads files can make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class MessageDraft:
    """A message; `parent` is the one that it answers or follows."""

    parent: int | None
    role: str
    content: str
    reasoning: str = ""
    fields: dict[str, Any] | None = None
    created_at: str = ""
    parts: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class ResponseDraft:
    """A response that has ended. `prompt` and `message` are places of messages, `previous` and
    `continues` of responses; `values` are other columns."""

    prompt: int
    message: int | None = None
    previous: int | None = None
    continues: int | None = None
    status: str = "completed"
    created_at: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """A conversation. `key` is its id in the file, which is of the program `source`; `kept` is how
    its owner keeps it: pinned, archived, in which folder. Of what cannot be kept as it is,
    `replaced` counts what stands in brackets instead."""

    source: str
    key: str
    title: str = ""
    created_at: str = ""
    updated_at: str = ""
    instructions: str | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    messages: list[MessageDraft] = field(default_factory=list)
    responses: list[ResponseDraft] = field(default_factory=list)
    replaced: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        rows = {
            "messages": [_fields(row) for row in self.messages],
            "responses": [_fields(row) for row in self.responses],
        }
        return {**_fields(self), **rows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Draft:
        """Return what `to_json` was called on."""
        rows = {
            "messages": [MessageDraft(**row) for row in value["messages"]],
            "responses": [ResponseDraft(**row) for row in value["responses"]],
        }
        return cls(**{**value, **rows})


def _fields(row: Any) -> dict[str, Any]:
    """Return the fields of a row. (`asdict` also copies all that is in them.)"""
    return {name: getattr(row, name) for name in row.__slots__}
