"""Every code and state of the protocol has its words: on the page, in the terminal, in the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import get_args
from uuid import uuid4

import polib
import pytest

from streaming.api import errors as api_errors
from streaming.client import ChatError
from streaming.protocol.errors import ErrorCode, FaultCode
from streaming.protocol.items import FunctionCallItem, MessageItem, OutputText, Refusal
from streaming.protocol.response_events import ResponseQueued, Service
from streaming.protocol.response_resource import (
    IncompleteDetails,
    ResponseError,
    ResponseResource,
)
from streaming.terminal import words
from tests.support.processes import ROOT
from tests.unit.test_protocol_page import first_column, section

SHARED = ROOT / "static" / "streaming" / "shared"
WORDS = "".join(
    (SHARED / name).read_text(encoding="utf-8")
    for name in ("error_words.js", "words.js", "wait_words.js")
)
ERRORS, FAULTS = get_args(ErrorCode), get_args(FaultCode)
SERVICES = get_args(Service)

AT_START = re.compile(r"model_\w+|settings|cache_unwritable|disk_full|duplicate")
"""Codes of engines that do not start, and of a fault of ours that no worker can make."""


def table(name: str) -> dict[str, str]:
    """A table of the pages' words: its keys, and the code of each."""
    found = re.search(rf"const {name} = {{\n(.*?)\n}};", WORDS, re.DOTALL)
    assert found
    entries = re.split(r"^  (\w+): ", found[1], flags=re.MULTILINE)[1:]
    return dict(zip(entries[::2], entries[1::2], strict=True))


@pytest.mark.parametrize(("name", "codes"), [("ERRORS", ERRORS), ("FAULTS", FAULTS)])
def test_the_page_has_words_for_each_code_in_both_languages(
    name: str, codes: tuple[str, ...]
) -> None:
    catalog = polib.pofile(str(ROOT / "locale" / "ja" / "LC_MESSAGES" / "djangojs.po"))
    japanese = {entry.msgid: entry.msgstr for entry in catalog}
    entries = table(name)
    assert set(entries) == set(codes)
    for code, entry in entries.items():
        (english,) = re.findall(r'gettext\(\s*"(.*?)",?\s*\)', entry, re.DOTALL)
        assert english, code
        assert japanese.get(english), code


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_has_words_for_what_the_workers_do(service: str) -> None:
    said = re.search(r"const trouble = {\n(.*?)\n  }", WORDS, re.DOTALL)
    assert said
    assert (f"    {service}: " in said[1]) == (service != "ready")


@pytest.mark.parametrize("code", ERRORS)
def test_the_terminal_says_each_error(code: str) -> None:
    assert words.of_error(ChatError(code, "What was wrong.")) == f"What was wrong. ({code})"


@pytest.mark.parametrize("code", FAULTS)
def test_the_terminal_says_why_an_answer_failed(code: str) -> None:
    error = ResponseError(code=code, message="What was wrong.")
    assert words.of_end(done("failed", error=error), stopped=False).endswith(f"wrong. ({code})")


@pytest.mark.parametrize("service", SERVICES)
def test_the_terminal_says_what_the_workers_do(service: str) -> None:
    assert bool(words.of_service(service)) == (service != "ready")
    place = ResponseQueued(
        response_id=uuid4(),
        response=done("queued"),
        conversation_id=uuid4(),
        position=1,
        size=1,
        service=service,
    )
    assert words.of_service(service) in words.of_place(place)


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u200d"])
def test_the_terminal_says_that_an_answer_is_empty(text: str) -> None:
    assert words.of_end(done("completed", text=text), stopped=False) == "The model wrote nothing."
    assert words.of_end(done("completed", text=text + "."), stopped=False) == ""


def message(part: OutputText | Refusal) -> MessageItem:
    return MessageItem(id="msg_1", status="completed", role="assistant", content=[part])


CALL = FunctionCallItem(
    id="fc_1", call_id="1", name="we\x1bather", arguments='{"city": "\x07"}', status="completed"
)


def done(status: str, text: str = "", error: ResponseError | None = None) -> ResponseResource:
    output = [message(OutputText(text=text))]
    return ResponseResource(
        id="resp_1", created_at=1, status=status, model="m", output=output, error=error
    )


def test_an_answer_that_calls_or_refuses_is_not_empty() -> None:
    for item in (CALL, message(Refusal(refusal="No."))):
        end = done("completed").model_copy(update={"output": [item]})
        assert words.of_end(end, stopped=False) == ""
    assert words.of_call(CALL) == 'The model calls we␛ather({"city": "␇"})'
    assert words.of_refusal("No\x1b.") == "The model refuses: No␛."


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("max_output_tokens", "The answer was cut at its token limit."),
        ("content_filter", "The rest of the answer was withheld."),
    ],
)
def test_the_terminal_says_why_an_answer_is_not_whole(reason: str, said: str) -> None:
    details = IncompleteDetails(reason=reason)
    end = done("incomplete").model_copy(update={"incomplete_details": details})
    assert words.of_end(end, stopped=False) == said


def test_the_docs_name_each_code() -> None:
    assert first_column(section("Error codes")) == list(ERRORS)
    assert first_column(section("Why an answer failed")) == list(FAULTS)


def test_the_code_says_no_other_codes() -> None:
    """What ends an answer, wherever it stands in the code."""
    said = {code for code in _codes_in_code() if not AT_START.fullmatch(code)}
    assert said <= {*FAULTS, *ERRORS}, said - {*FAULTS, *ERRORS}
    assert set(api_errors._STATUS_OF_CODE) <= {*FAULTS, *ERRORS}


def _codes_in_code() -> Iterator[str]:
    for path in sorted((ROOT / "streaming").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            named = [k.value for k in node.keywords if k.arg in ("code", "error_code")]
            if name == "EngineError":
                yield from _constants(node.args[1:2])
            if name == "UpstreamFault":
                yield from _constants(node.args[3:4])
            if name in ("EngineError", "UpstreamFault", "ResponseError", "Finished"):
                yield from _constants(named)


def _constants(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value
