"""Client events: whatever arrives becomes an event or an explained error."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.engine.base import SamplingParams
from streaming.engine.local.sequence import check_params
from streaming.lifecycle.params import resolve_sampling
from streaming.protocol.client_events import ResponseCancel, ResponseCreate
from streaming.protocol.errors import ProtocolError
from streaming.protocol.parsing import parse_client_event, peek_event_id
from streaming.protocol.sampling_params import Params

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)


@given(frame=st.text() | json_values.map(json.dumps))
def test_any_frame_is_an_event_or_a_protocol_error(frame: str) -> None:
    try:
        parse_client_event(frame)
    except ProtocolError as error:
        assert error.code == "invalid_event"
        assert error.message
    peek_event_id(frame)


fields = st.fixed_dictionaries(
    {"type": st.just("response.create"), "input": json_values},
    optional={"response_id": json_values, "params": json_values, "event_id": json_values},
)


@given(event=fields)
def test_wrong_fields_are_named(event: dict[str, object]) -> None:
    try:
        parsed = parse_client_event(json.dumps(event))
    except ProtocolError as error:
        if error.param:
            assert error.param.split(".")[0] in {*event, "conversation_id"}
    else:
        assert isinstance(parsed, ResponseCreate)
        assert parsed.input == event["input"]


def test_stop_may_be_one_string() -> None:
    frame = '{"type":"response.create","input":"x","params":{"stop":"END"}}'
    event = parse_client_event(frame)
    assert isinstance(event, ResponseCreate)
    assert event.params.stop == ["END"]


def test_resolved_parameters_are_concrete() -> None:
    resolved = resolve_sampling(Params(temperature=0.5), max_tokens=100)
    assert resolved["max_tokens"] == 100
    assert resolved["temperature"] == 0.5
    assert 0 <= resolved["seed"] < 2**63
    assert resolve_sampling(Params(seed=0), 100)["seed"] == 0


RESOLVED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "more tokens than the server allows": ({"max_tokens": 101}, {"max_tokens": 100}),
    "many more": ({"max_tokens": 10**30}, {"max_tokens": 100}),
    "as many as there may be": ({"max_tokens": -1}, {"max_tokens": 100}),
    "no nucleus": ({"top_p": 0, "temperature": 0.7}, {"temperature": 0.0, "top_p": 1.0}),
    "no top-k": ({"top_k": -1}, {"top_k": 0}),
    "a wide top-k": ({"top_k": 50_000}, {"top_k": 1000}),
    "hot": ({"temperature": 5}, {"temperature": 5.0}),
    "a seed below 0": ({"seed": -2}, {"seed": 2**63 - 2}),
    "the least seed": ({"seed": -(2**63)}, {"seed": 0}),
    "many stops": ({"stop": list("abcdefgh")}, {"stop": list("abcdefgh")}),
    "nothing is left out": ({"truncation": "disabled"}, {"truncation": "disabled"}),
}


@pytest.mark.parametrize("name", RESOLVED)
def test_what_other_servers_take_means_the_same(name: str) -> None:
    given, wanted = RESOLVED[name]
    resolved = resolve_sampling(Params(**given), max_tokens=100)
    assert {key: resolved[key] for key in wanted} == wanted
    params = {**resolved, "stop": tuple(resolved["stop"])}
    params.pop("truncation", None)
    check_params(SamplingParams(**params))


def test_seed_minus_one_is_none() -> None:
    seeds = {resolve_sampling(Params(seed=-1), 100)["seed"] for _ in range(4)}
    assert len(seeds) == 4


TEXT_PART = {"type": "input_text", "text": "Hi"}
REFUSED: dict[str, tuple[object, str]] = {
    "nothing": ([], "input"),
    "too much": ([TEXT_PART] * 65, "input"),
    "no part": (["Hi"], "input.0"),
    "a part of an answer": ([{"type": "output_text", "text": "Hi"}], "input.0"),
    "a number": ([TEXT_PART, {"type": "input_text", "text": 1}], "input.1.text"),
    "no text": ([{"type": "input_text"}], "input.0.text"),
    "another field": ([TEXT_PART | {"more": 1}], "input.0.more"),
    "a file of this machine": ([{"type": "input_image", "image_url": "file:///x"}],
                               "input.0.image_url"),
    "NUL": ([{"type": "input_text", "text": "\0"}], "input.0.text"),
    "an object": (TEXT_PART, "input"),
    "nothing at all": ("", "input"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_message_is_named(name: str) -> None:
    sent, param = REFUSED[name]
    with pytest.raises(ProtocolError) as refused:
        parse_client_event(json.dumps({"type": "response.create", "input": sent}))
    assert (refused.value.code, refused.value.param) == ("invalid_event", param)


def test_a_message_may_have_parts() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    event = parse_client_event(json.dumps({"type": "response.create", "input": [TEXT_PART, image]}))
    assert isinstance(event, ResponseCreate)
    assert isinstance(event.input, list)
    assert [part.model_dump(exclude_unset=True) for part in event.input] == [TEXT_PART, image]


KEY = UUID("4c1f7a52-2b7c-4d7e-9a54-0f5f3a0b6c11")


@pytest.mark.parametrize("written", [str(KEY), KEY.hex, f"resp_{KEY.hex}", f"resp_{KEY}"])
def test_an_id_may_have_its_prefix(written: str) -> None:
    frame = json.dumps({"type": "response.cancel", "response_id": written})
    event = parse_client_event(frame)
    assert isinstance(event, ResponseCancel)
    assert event.response_id == KEY
    frame = json.dumps({"type": "response.create", "input": "x", "conversation_id": f"conv_{KEY}"})
    created = parse_client_event(frame)
    assert isinstance(created, ResponseCreate)
    assert created.conversation_id == KEY


@pytest.mark.parametrize("written", [f"conv_{KEY.hex}", f"resp_resp_{KEY.hex}", "resp_", 7, None])
def test_what_is_no_id_is_named(written: object) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_client_event(json.dumps({"type": "response.cancel", "response_id": written}))
    assert (refused.value.code, refused.value.param) == ("invalid_event", "response_id")


@pytest.mark.parametrize(
    "type_", ["session.ping", "session.resume", "response.resume", "response.update"]
)
def test_an_event_of_version_1_is_told_so(type_: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_client_event(json.dumps({"type": type_, "response_id": str(KEY)}))
    assert refused.value.code == "unsupported_version"
    assert "version 2 of the protocol, and this client version 1. Reload" in refused.value.message
