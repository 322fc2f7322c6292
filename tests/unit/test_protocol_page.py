"""`docs/protocol.md` names every event, field, code and value of `streaming.protocol`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from streaming.client.frames import parse_server_event
from streaming.engine.base import FinishReason
from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.errors import ErrorCode
from streaming.protocol.events import client_events, server_events, type_of
from streaming.protocol.parsing import parse_client_event
from streaming.protocol.server_events import ErrorEvent, ResponseDone
from streaming.sockets import close_codes
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
EVENTS = (*client_events(), *server_events())
ids = [type_of(model) for model in EVENTS]


def section(title: str) -> str:
    """The page from a heading to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[1]


def first_column(text: str) -> list[str]:
    """What the tables' rows begin with, without heads and rules."""
    cells = re.findall(r"^\| *([^|]*?) *\|", text, re.MULTILINE)
    return [cell.strip("`") for cell in cells if cell not in ("field", "code", "---")]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The fields of an event, those of its objects with a dot."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{prefix}{name}.")


def literals(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and (model, name) != (
            ErrorEvent,
            "code",
        ):
            yield from get_args(field.annotation)


@pytest.mark.parametrize("model", EVENTS, ids=ids)
def test_every_field_has_its_row(model: type[BaseModel]) -> None:
    text = section(f"`{type_of(model)}`")
    everywhere = {"type", "event_id"} if model in client_events() else {"type"}
    expected = set(fields(model)) - everywhere
    rows = first_column(text)
    assert set(rows) == expected
    assert len(rows) == len(expected)


@pytest.mark.parametrize("model", EVENTS, ids=ids)
def test_every_value_is_named(model: type[BaseModel]) -> None:
    text = section(f"`{type_of(model)}`")
    for value in set(literals(model)) - {type_of(model)}:
        assert f"`{value}`" in text
    if model is ResponseDone:
        for reason in FinishReason:
            assert f"`{reason}`" in text


@pytest.mark.parametrize("model", EVENTS, ids=ids)
def test_the_example_is_one(model: type[BaseModel]) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", section(f"`{type_of(model)}`"), re.DOTALL)
    if model in client_events():
        assert isinstance(parse_client_event(example), model)
    else:
        assert isinstance(parse_server_event(example), model)
        assert set(json.loads(example)) == set(model.model_fields)


def test_every_error_code_has_its_row() -> None:
    assert first_column(section("Error codes")) == list(get_args(ErrorCode))


def test_every_close_code_has_its_row() -> None:
    ours = {value for value in vars(close_codes).values() if isinstance(value, int)}
    assert {int(code) for code in first_column(section("Close codes"))} == {1008, 1009, *ours}


def test_there_are_no_other_events() -> None:
    assert set(re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)) == set(ids)
    assert f"version {PROTOCOL_VERSION};" in PAGE
