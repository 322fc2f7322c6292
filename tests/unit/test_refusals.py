"""What the record and the list refuse has words on the wire."""

from __future__ import annotations

import pytest

from streaming.protocol.errors import ProtocolError
from streaming.record.errors import NotFound, RecordError, Subject
from streaming.sockets.refusals import translated
from streaming.waiting_list.interface import QueueFull


def said(error: Exception) -> tuple[str, str, str | None]:
    with pytest.raises(ProtocolError) as raised, translated():
        raise error
    return raised.value.code, raised.value.message, raised.value.param


@pytest.mark.parametrize("kind", RecordError.__subclasses__())
def test_every_refusal_of_the_record_has_words(kind: type[RecordError]) -> None:
    for subject in Subject:
        code, message, field = said(kind(subject))
        assert code in (
            "not_found",
            "forbidden",
            "already_done",
            "already_started",
            "invalid_event",
        )
        assert message.endswith(".")
        assert field is not None


def test_a_refusal_names_the_field_that_is_wrong() -> None:
    assert said(NotFound()) == ("not_found", "There is no such response.", "response_id")
    assert said(NotFound(Subject.CONVERSATION))[1:] == (
        "There is no such conversation.",
        "conversation_id",
    )
    assert said(NotFound(Subject.PREVIOUS))[2] == "previous_response_id"


def test_what_the_list_refuses_keeps_its_code_and_its_words() -> None:
    assert said(QueueFull("Everything is full.")) == ("queue_full", "Everything is full.", None)


def test_a_fault_stays_a_fault() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError
