"""The functions that answers call, and what came back, as the page shows them.

A result is a turn of the conversation that a program has sent. On the page it belongs to its call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from streaming.models import Message, Response
from streaming.pages.importing.passed import passed_of


@dataclass(slots=True)
class Call:
    """A call and its result, None where none has come. `is_result_alone`: a result whose call is
    not among the turns; its `name` is the call's id."""

    name: str
    arguments: str = ""
    result: str | None = None
    is_result_alone: bool = False


@dataclass(frozen=True, slots=True)
class TurnCalls:
    """The calls of one turn's answer, and results before it whose calls are not shown."""

    calls: list[Call]
    results: list[Call]


def calls_of(
    chains: Sequence[Sequence[Response]], following: Response | None = None
) -> list[TurnCalls]:
    """Return the calls of turns, each given by the responses that wrote it, oldest turn first.

    `following`: a response of the turn after them, whose prompt may have results, too.
    """
    called = [list(_calls(chain)) for chain in chains]
    rows = [*(chain[-1] for chain in chains), *([following] if following else [])]
    if not any(called) and not any(row.prompt.role == Message.Role.TOOL for row in rows):
        return [TurnCalls([], []) for _ in chains]
    tools = {
        message.pk: message
        for message in Message.objects.filter(
            conversation=rows[0].conversation_id, role=Message.Role.TOOL
        )
    }
    open_calls: dict[str, Call] = {}
    found: list[TurnCalls] = []
    for number, row in enumerate(rows):
        loose = []
        for message in _results(row.prompt, tools):
            key = str((message.fields or {}).get("tool_call_id", ""))
            if call := open_calls.pop(key, None):
                call.result = message.content
            else:
                loose.append(Call(key, result=message.content, is_result_alone=True))
        if number < len(chains):
            open_calls |= {key: call for key, call in called[number] if key}
            found.append(TurnCalls([call for _, call in called[number]], loose))
    return found


def refusal_of(chain: Iterable[Response]) -> str:
    """Return why the model did not answer, in its words; empty for most."""
    return "".join(_passed(row).get("refusal", "") for row in chain)


def _passed(row: Response) -> dict[str, Any]:
    """Return what was said besides. Earlier versions took it from files as it was."""
    return passed_of(row.passed) if row.imported else row.passed or {}


def _calls(chain: Iterable[Response]) -> Iterable[tuple[str, Call]]:
    for row in chain:
        calls: list[dict[str, Any]] = _passed(row).get("tool_calls", [])
        for call in sorted(calls, key=lambda each: each.get("index", 0)):
            said = call.get("function", {})
            yield call.get("id", ""), Call(said.get("name", ""), said.get("arguments", ""))


def _results(prompt: Message, tools: Mapping[UUID, Message]) -> list[Message]:
    """Return the results that a prompt is, or follows, oldest first."""
    found: list[Message] = []
    if prompt.role == Message.Role.TOOL:
        found.append(prompt)
    parent = prompt.parent_id
    while parent is not None and (message := tools.get(parent)) and message not in found:
        found.append(message)
        parent = message.parent_id
    return found[::-1]
