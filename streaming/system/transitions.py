"""Transitions of a state machine, checked against a table of what may follow what."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import Enum
from typing import TypeVar

S = TypeVar("S", bound=Enum)


class InvalidTransition(RuntimeError):
    """A state that cannot follow the present one was asked for: a bug of the caller."""

    def __init__(self, name: str, before: Enum, after: Enum) -> None:
        super().__init__(f"{name} is {before.name} and cannot become {after.name}.")


def checked(table: Mapping[S, Set[S]], name: str, before: S, after: S) -> S:
    """Return `after` if `table` lets it follow `before`. `name` says whose state it is.

    Raises InvalidTransition otherwise.
    """
    if after not in table[before]:
        raise InvalidTransition(name, before, after)
    return after
