"""The phases of an open response in the waiting list in memory."""

from __future__ import annotations

import itertools

import pytest

from streaming.system.transitions import InvalidTransition
from streaming.waiting_list.interface import MAX_ATTEMPTS, Entry, Slot, State
from streaming.waiting_list.memory.open_response import (
    TRANSITIONS,
    OpenResponse,
    ResponsePhase,
)

SLOT = Slot(3, 7)


def response_in(phase: ResponsePhase) -> OpenResponse:
    """A response that came to this phase by valid transitions."""
    response = OpenResponse(Entry("r", "o", "c"), asked=0, since=0, seen=0)
    if phase is ResponsePhase.HELD:
        return response
    if phase is ResponsePhase.ENDED:
        response.end(1)
        return response
    response.enter(SLOT, 1)
    if phase is ResponsePhase.ORDERED:
        return response
    response.start("w", 5, 2, 10)
    if phase is ResponsePhase.PARKED:
        response.cancel()
    if phase is not ResponsePhase.RUNNING:
        response.give_back(3, forgive=True)
    return response


def go(response: OpenResponse, phase: ResponsePhase) -> None:
    """Ask for a transition by the method that makes it."""
    match phase:
        case ResponsePhase.ORDERED:
            response.enter(SLOT, 9)
        case ResponsePhase.RETURNED if response.phase is ResponsePhase.HELD:
            response.enter_returned(SLOT, 1, 9)
        case ResponsePhase.RETURNED:
            response.give_back(9, forgive=True)
        case ResponsePhase.PARKED:
            response.cancelled = True
            response.give_back(9, forgive=True)
        case ResponsePhase.RUNNING:
            response.start("w", 6, 9, 10)
        case ResponsePhase.ENDED:
            response.end(9)


REACHED = [phase for phase in ResponsePhase if phase is not ResponsePhase.HELD]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ResponsePhase, REACHED)))
def test_only_transitions_of_the_table_are_made(
    before: ResponsePhase, after: ResponsePhase
) -> None:
    response = response_in(before)
    assert response.phase is before
    if after in TRANSITIONS[before]:
        go(response, after)
        assert (response.phase, response.since) == (after, 9)
        return
    was = (response.slot, response.token, response.attempt, response.worker_id, response.since)
    with pytest.raises(InvalidTransition, match=f"r is {before.name} and cannot become"):
        go(response, after)
    assert response.phase is before
    assert was == (
        response.slot, response.token, response.attempt, response.worker_id, response.since
    )  # fmt: skip


def test_every_phase_has_a_state_that_callers_see() -> None:
    assert {phase.state for phase in ResponsePhase} == set(State) - {State.UNKNOWN}
    assert TRANSITIONS.keys() == set(ResponsePhase)


def test_a_response_is_parked_after_its_last_attempt() -> None:
    response = response_in(ResponsePhase.ORDERED)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = response.start("w", attempt, 1, 10)
        assert (claim.attempt, response.phase) == (attempt, ResponsePhase.RUNNING)
        response.give_back(2, forgive=False)
    assert response.phase is ResponsePhase.PARKED


def test_only_a_running_response_can_be_cancelled() -> None:
    assert [phase for phase in ResponsePhase if response_in(phase).cancel()] == [
        ResponsePhase.RUNNING
    ]


def test_a_lease_is_valid_by_token_time_and_phase() -> None:
    response = response_in(ResponsePhase.RUNNING)  # from 2 to 12, with the token 5
    assert response.is_leased(5, 11.9)
    assert not response.is_leased(5, 12)
    assert not response.is_leased(4, 3)
    response.give_back(3, forgive=True)
    assert not response.is_leased(5, 4)
