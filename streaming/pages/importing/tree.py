"""From a tree of messages, as other programs keep conversations, to prompts and their answers.

Here an answer belongs to a prompt, and a prompt follows an answer. So what an assistant and its
tools say one after the other is one answer; a prompt that nobody answered was withdrawn; and what
an assistant says before anybody has asked anything answers an empty prompt.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streaming.pages.importing import bounds
from streaming.pages.importing.bounds import Unfit
from streaming.record.drafts import Draft, MessageDraft, ResponseDraft

USER, ANSWER, NOTHING = "user", "answer", ""


@dataclass(slots=True)
class Node:
    """A message: `role` is USER, ANSWER (an assistant's or a tool's) or NOTHING, which is not
    shown itself and has others below it."""

    id: str
    parent: str | None
    role: str = NOTHING
    text: str = ""
    reasoning: str = ""
    created_at: str = ""
    model: str = ""


class _Run(NamedTuple):
    """What was said since the prompt, the newest first."""

    node: Node
    before: _Run | None


class _Place(NamedTuple):
    """Where a node stands: behind a response and its answer, after a prompt and what was said
    since."""

    previous: int | None = None
    answer: int | None = None
    prompt: int | None = None
    run: _Run | None = None


def fill(draft: Draft, nodes: Sequence[Node], shown: str | None) -> None:
    """Write the tree of `nodes` into an empty draft. The displayed path is to lead through the
    node `shown`.

    Raises Unfit for a tree that is none, or says more than fits, or nothing.
    """
    if len(nodes) > bounds.MOST_MESSAGES:
        raise Unfit("too_many_messages")
    filling = _Filling(draft, nodes)
    filling.walk()
    if not draft.responses:
        raise Unfit("empty")
    last = filling.response_of.get(shown or "")
    if last is None and shown:  # it is not shown itself
        last = filling.response_of.get(filling.parents.get(shown) or "")
    _order(draft, last)


class _Filling:
    """The tree as it is walked; `response_of` has the response that each node is, or ends."""

    def __init__(self, draft: Draft, nodes: Sequence[Node]) -> None:
        self.response_of: dict[str, int] = {}
        self.parents = _parents(nodes)
        self._draft = draft
        self._chars = 0
        self._withdrawn: dict[int, int] = {}
        self._below: dict[str | None, list[Node]] = {}
        for node in nodes:
            if node.role != NOTHING:
                self._below.setdefault(self.parents[node.id], []).append(node)

    def walk(self) -> None:
        """Write all that is shown, each node before those below it."""
        stack = [(node, _Place()) for node in reversed(self._below.get(None, []))]
        while stack:
            node, place = stack.pop()
            below = self._below.get(node.id, [])
            asked = any(child.role == USER for child in below)
            if node.role == USER:
                after = until = self._prompt(node, place, is_last=not below)
            else:
                after, until = self._say(node, place, ends=asked or not below)
            stack += [(c, after if c.role == USER else until) for c in reversed(below)]

    def _prompt(self, node: Node, place: _Place, *, is_last: bool) -> _Place:
        previous = place.previous
        if place.prompt is not None:  # two prompts, one after the other
            previous = self._withdraw(place)
        prompt = self._message(place.answer, "user", node.text, node.created_at)
        after = _Place(previous, place.answer, prompt)
        if is_last:
            self.response_of[node.id] = self._withdraw(after)
        return after

    def _say(self, node: Node, place: _Place, *, ends: bool) -> tuple[_Place, _Place]:
        """Return where a prompt below stands, and where what is said further does."""
        prompt = place.prompt
        if prompt is None:
            prompt = self._message(place.answer, "user", "", node.created_at)
        run = _Run(node, place.run)
        until = _Place(place.previous, place.answer, prompt, run)
        if not ends:
            return until, until
        response, answer = self._answer(place, prompt, run)
        self.response_of[node.id] = response
        return _Place(response, answer), until

    def _answer(self, place: _Place, prompt: int, run: _Run) -> tuple[int, int | None]:
        said: list[Node] = []
        each: _Run | None = run
        while each:
            said.append(each.node)
            each = each.before
        said.reverse()
        content = "\n\n".join(node.text for node in said if node.text)
        reasoning = "\n\n".join(node.reasoning for node in said if node.reasoning)
        last = said[-1]
        message = None
        if content or reasoning:
            message = self._message(prompt, "assistant", content, last.created_at, reasoning)
        model = next((node.model for node in reversed(said) if node.model), "")
        begun = last.created_at or self._draft.messages[prompt].created_at
        status = "cancelled" if message is None else "completed"
        row = ResponseDraft(prompt, message, place.previous, None, status, begun)
        if model:
            row.values["params"] = {"model": model}
        return self._respond(row), message if content else place.answer

    def _withdraw(self, place: _Place) -> int:
        """Return the response of a prompt that nobody answered."""
        prompt = place.prompt
        assert prompt is not None
        if prompt not in self._withdrawn:
            begun = self._draft.messages[prompt].created_at
            row = ResponseDraft(prompt, None, place.previous, None, "cancelled", begun)
            self._withdrawn[prompt] = self._respond(row)
        return self._withdrawn[prompt]

    def _respond(self, row: ResponseDraft) -> int:
        self._draft.responses.append(row)
        return len(self._draft.responses) - 1

    def _message(
        self, parent: int | None, role: str, content: str, created_at: str, reasoning: str = ""
    ) -> int:
        if max(len(content), len(reasoning)) > bounds.MOST_MESSAGE_CHARS:
            raise Unfit("long_message")
        self._chars += len(content) + len(reasoning)
        if self._chars > bounds.MOST_CONVERSATION_CHARS:
            raise Unfit("too_large")
        row = MessageDraft(parent, role, content, reasoning, created_at=created_at)
        self._draft.messages.append(row)
        return len(self._draft.messages) - 1


def _parents(nodes: Sequence[Node]) -> dict[str, str | None]:
    """Return for each node the nearest one above it that is shown. Raises Unfit for a loop."""
    by_id = {node.id: node for node in nodes}
    if len(by_id) != len(nodes):
        raise Unfit("malformed")
    above: dict[str, str | None] = {}
    for node in nodes:
        walked: dict[str, None] = {}
        each: Node | None = node
        while each is not None and each.id not in above:
            if each.id in walked:
                raise Unfit("loop")
            walked[each.id] = None
            each = by_id.get(each.parent or "")
        for id_ in reversed(walked):
            parent = by_id.get(by_id[id_].parent or "")
            if parent is None:
                above[id_] = None
            else:
                above[id_] = above[parent.id] if parent.role == NOTHING else parent.id
    return above


def _order(draft: Draft, last: int | None) -> None:
    """Put the responses in the order of their times, each behind what it follows, and the `last`
    one behind all others if nothing follows it: the newest is the one that is displayed."""
    rows = draft.responses
    following: dict[int | None, list[int]] = {}
    for number, row in enumerate(rows):
        following.setdefault(row.previous, []).append(number)
    order: list[int] = []
    ready = [(rows[number].created_at, number) for number in following.get(None, [])]
    heapq.heapify(ready)
    while ready:
        _, number = heapq.heappop(ready)
        order.append(number)
        for each in following.get(number, []):
            heapq.heappush(ready, (rows[each].created_at, each))
    if last is not None and last not in following:
        order.remove(last)
        order.append(last)
    place = {number: at for at, number in enumerate(order)}
    draft.responses = [rows[number] for number in order]
    for row in draft.responses:
        row.previous = None if row.previous is None else place[row.previous]
