"""The tree of a conversation's responses."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.pages.thread import Node, Thread


def id_(number: int) -> UUID:
    return UUID(int=number)


def node(
    number: int, previous: int | None = None, continues: int | None = None, is_stub: bool = False
) -> Node:
    return Node(
        id_(number),
        None if previous is None else id_(previous),
        None if continues is None else id_(continues),
        is_stub,
    )


def path(nodes: list[Node], through: int | None = None) -> list[int]:
    turns = Thread(nodes).path(None if through is None else id_(through))
    return [turn.id.int for turn in turns]


def versions(nodes: list[Node], through: int | None = None) -> list[list[int]]:
    turns = Thread(nodes).path(None if through is None else id_(through))
    return [[version.int for version in turn.versions] for turn in turns]


def test_without_responses_there_is_no_path() -> None:
    assert Thread([]).path() == []


def test_a_conversation_without_branches_is_its_own_path() -> None:
    nodes = [node(1), node(2, 1), node(3, 2)]
    assert path(nodes) == [1, 2, 3]
    assert versions(nodes) == [[1], [2], [3]]


def test_the_path_leads_to_the_newest_response() -> None:
    """1 - 2 - 3, then 2 was answered anew."""
    nodes = [node(1), node(2, 1), node(3, 2), node(4, 1)]
    assert path(nodes) == [1, 4]
    assert versions(nodes) == [[1], [2, 4]]


def test_a_chosen_version_is_followed_to_its_newest_end() -> None:
    nodes = [node(1), node(2, 1), node(3, 2), node(4, 1), node(5, 2), node(6, 3)]
    assert path(nodes, 2) == [1, 2, 3, 6]
    assert path(nodes, 5) == [1, 2, 5]
    assert path(nodes, 4) == [1, 4]


def test_the_first_turn_has_versions_too() -> None:
    nodes = [node(1), node(2, 1), node(3)]
    assert path(nodes) == [3]
    assert versions(nodes) == [[1, 3]]
    assert path(nodes, 1) == [1, 2]


def test_a_continued_answer_is_one_turn() -> None:
    nodes = [node(1), node(2, continues=1), node(3, continues=2), node(4, 3)]
    turns = Thread(nodes).path()
    assert [[part.int for part in turn.chain] for turn in turns] == [[1, 2, 3], [4]]
    assert versions(nodes) == [[3], [4]]
    assert path(nodes, 1) == [3, 4]


def test_what_followed_before_the_continuation_follows_the_whole() -> None:
    assert path([node(1), node(2, 1), node(3, continues=1)]) == [3, 2]


def test_an_answer_continued_twice_has_two_versions() -> None:
    nodes = [node(1), node(2, continues=1), node(3, continues=1)]
    assert versions(nodes) == [[2, 3]]
    assert path(nodes, 2) == [2]
    assert path(nodes, 1) == [3]


def test_a_continuation_that_said_nothing_is_no_version() -> None:
    nodes = [node(1), node(2, continues=1, is_stub=True), node(3, 2)]
    assert versions(nodes) == [[1], [3]]
    assert path(nodes, 2) == [1, 3]


def test_a_failed_prompt_without_text_is_a_turn_all_the_same() -> None:
    assert path([node(1, is_stub=True), node(2, 1)]) == [1, 2]


def test_a_version_keeps_its_place_when_it_is_continued() -> None:
    assert versions([node(1), node(2), node(3, continues=1)]) == [[3, 2]]


def test_rows_that_are_gone_are_taken_for_none() -> None:
    assert path([node(1, previous=99), node(2, 1), node(3, continues=98)]) == [3]


@pytest.mark.parametrize(
    "nodes",
    [
        [node(1, previous=1)],
        [node(1, previous=2), node(2, previous=1)],
        [node(1, continues=2), node(2, continues=1)],
        [node(1, previous=2), node(2, continues=1)],
        [node(1, continues=1, is_stub=True)],
    ],
)
def test_loops_are_cut(nodes: list[Node]) -> None:
    assert path(nodes)
    for one in nodes:
        assert path(nodes, one.id.int)


def test_an_unknown_response_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Thread([node(1)]).path(id_(2))
    assert id_(1) in Thread([node(1)])
    assert id_(2) not in Thread([node(1)])


def test_a_long_conversation_needs_no_deep_stack() -> None:
    count = 20_000
    chain = [node(number, number - 1 or None) for number in range(1, count + 1)]
    assert len(path(chain)) == count
    assert len(path(chain, 1)) == count
    continued = [node(1)] + [node(number, continues=number - 1) for number in range(2, count)]
    assert len(Thread(continued).path()[0].chain) == count - 1


numbers = st.integers(0, 12)
any_nodes = st.lists(
    st.tuples(st.none() | numbers, st.none() | numbers, st.booleans()), max_size=12
).map(
    lambda rows: [
        node(number, previous, continues, stub)
        for number, (previous, continues, stub) in enumerate(rows)
    ]
)


@given(any_nodes)
def test_every_response_is_on_a_path_of_its_own(nodes: list[Node]) -> None:
    thread = Thread(nodes)
    for one in nodes:
        turns = thread.path(one.id)
        ids = [turn.id for turn in turns]
        assert len(ids) == len(set(ids))
        assert [turn.previous for turn in turns] == [None, *ids[:-1]]
        shown = {part for turn in turns for part in turn.chain}
        # On it, or continued by what is; a continuation that said nothing is left out.
        assert one.id in shown or one.continues is not None
        for turn in turns:
            assert turn.id in turn.versions
            assert len(turn.versions) == len(set(turn.versions))


@given(any_nodes)
def test_every_version_leads_to_itself(nodes: list[Node]) -> None:
    thread = Thread(nodes)
    for turn in thread.path():
        for version in turn.versions:
            assert version in [other.id for other in thread.path(version)]
