"""`docs/protocol.md` names every event, field, code and value of ours in `streaming.protocol`, and
names those of the specification."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from streaming.client.frames import parse_server_event
from streaming.engine.base import FinishReason
from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.errors import ErrorCode
from streaming.protocol.events import client_events, server_events, type_of
from streaming.protocol.parsing import parse_client_event
from streaming.protocol.response_events import PassedDelta, ResponseQueued
from streaming.protocol.response_resource import ResponseExtension
from streaming.protocol.server_events import ErrorEvent
from streaming.sockets import close_codes
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
PLAIN = {
    type_of(model): model
    for model in server_events()
    if type_of(model).startswith("response.") and type_of(model) != "response.queued"
}
"""Events that are the specification's, with few fields of ours or none."""
OF_ANSWERS = {**PLAIN, "chatstream:passed": PassedDelta}
OURS = [model for model in server_events() if type_of(model) not in OF_ANSWERS]
EVENTS = (*client_events(), *OURS)
STANDARD = {
    name: model
    for model in get_args(get_args(ResponseStreamEvent)[0])
    for name in get_args(model.model_fields["type"].annotation)
}
"""The models of the `openai` package, by the names of their events."""


def title(model: type[BaseModel]) -> str:
    """The heading of an event's section."""
    is_sent = model in client_events() and type_of(model) in map(type_of, server_events())
    return f"`{type_of(model)}`" + (" from a client" if is_sent else "")


ids = [title(model) for model in EVENTS]


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
    text = section(title(model))
    everywhere = {"type", "event_id"} if model in client_events() else {"type"}
    expected = set(fields(model)) - everywhere
    if model is ResponseQueued:
        expected = {name for name in expected if not name.startswith("response.")}
    rows = first_column(text)
    assert set(rows) == expected
    assert len(rows) == len(expected)


@pytest.mark.parametrize("model", EVENTS, ids=ids)
def test_every_value_is_named(model: type[BaseModel]) -> None:
    text = section(title(model))
    for value in set(literals(model)) - {type_of(model)}:
        assert f"`{value}`" in text


@pytest.mark.parametrize("model", EVENTS, ids=ids)
def test_the_example_is_one(model: type[BaseModel]) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", section(title(model)), re.DOTALL)
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
    assert set(re.findall(r"^### (`.+`.*)$", PAGE, re.MULTILINE)) == set(ids)
    assert f"version {PROTOCOL_VERSION};" in PAGE


def events_of_answers() -> dict[str, str]:
    """The table of the specification's events: their names, and what is ours of each."""
    rows = re.findall(
        r"^\| `([\w.:]+)` \| (.*)\|$", section("The events of an answer"), re.MULTILINE
    )
    return {name: said for name, said in rows if name.startswith(("response.", "chatstream:"))}


def test_every_event_of_an_answer_has_its_row() -> None:
    assert events_of_answers().keys() == {*OF_ANSWERS, "response.queued"}


@pytest.mark.parametrize("name", OF_ANSWERS)
def test_every_field_of_ours_is_named(name: str) -> None:
    """What OpenAI's own client does not know of an event."""
    said, model = events_of_answers()[name], OF_ANSWERS[name]
    if name in STANDARD:
        known = set(STANDARD[name].model_fields)
        assert known - set(model.model_fields) <= {"obfuscation", "agent"}
    else:
        known = {"type", "sequence_number"}
    for field in set(model.model_fields) - known - {"response_id"}:
        inner = models_in(model.model_fields[field].annotation)
        names = [f"{field}.{each}" for found in inner for each in found.model_fields] or [field]
        if "text" not in name:
            names = [each for each in names if each != "chatstream.reasoning_ms"]
        if name == "response.output_text.delta":
            names.remove("chatstream.reasoning_ms")
        for each in names:
            assert f"`{each}`" in said, each


def test_every_field_of_ours_in_a_response_has_its_row() -> None:
    rows = first_column(section("The events of an answer"))
    expected = set(fields(ResponseExtension))
    assert [row for row in rows if row in expected] == list(fields(ResponseExtension))
    text = section("The events of an answer")
    for reason in FinishReason:
        assert f"`{reason}`" in text
    for status in ("completed", "incomplete", "cancelled", "failed"):
        assert f"`{status}`: " in text
