"""The tree of a conversation: which turns stand on the displayed path, and their versions.

Responses with the same `previous` are versions of one turn; a response that `continues` another
stands in its place. This module knows ids only, no text and no database. Its work is linear in
the number of responses, and no damaged record (a loop, a missing row) can make it fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID


class Node(NamedTuple):
    """One response. `is_stub`: it ended without a word, be it of a thought."""

    id: UUID
    previous: UUID | None = None
    continues: UUID | None = None
    is_stub: bool = False


class Version(NamedTuple):
    """One version of a turn, by the responses that wrote it, first to last.

    `versions` are all versions of the turn, oldest first, each by its last response.
    """

    chain: tuple[UUID, ...]
    versions: tuple[UUID, ...]
    previous: UUID | None

    @property
    def id(self) -> UUID:
        """Return the last of its responses, by which the version is known."""
        return self.chain[-1]


class Thread:
    """The tree of one conversation's responses, given oldest first."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._order = {node.id: number for number, node in enumerate(nodes)}
        self._continued = _parents(nodes, {node.id: node.continues for node in nodes})
        self._version_of = self._versions(nodes)
        heads = {tip: self._chain(tip)[0] for tip in dict.fromkeys(self._version_of.values())}
        previous = {node.id: node.previous for node in nodes}
        by_age = sorted(heads, key=lambda tip: (self._order[heads[tip]], self._order[tip]))
        self._previous = _parents(
            [Node(tip) for tip in by_age],
            {tip: self._version_of.get(previous[heads[tip]]) for tip in by_age},  # type: ignore[arg-type]
        )
        self._followers: dict[UUID | None, list[UUID]] = {}
        for tip in by_age:
            self._followers.setdefault(self._previous[tip], []).append(tip)
        self._newest = self._newest_below(by_age)
        self._last = nodes[-1].id if nodes else None

    def __contains__(self, response_id: UUID) -> bool:
        return response_id in self._order

    def path(self, through: UUID | None = None) -> list[Version]:
        """From the first turn through the version that holds this response, on to its newest
        end; without one, to the newest response of all. KeyError for an unknown id."""
        if self._last is None:
            return []
        tip: UUID | None = self._version_of[self._last if through is None else through]
        path: list[UUID] = []
        while tip is not None:
            path.append(tip)
            tip = self._previous[tip]
        path.reverse()
        while followers := self._followers.get(path[-1]):
            path.append(max(followers, key=self._newest.__getitem__))
        return [
            Version(
                self._chain(tip), tuple(self._followers[self._previous[tip]]), self._previous[tip]
            )
            for tip in path
        ]

    def _versions(self, nodes: Sequence[Node]) -> dict[UUID, UUID]:
        """The version that each response belongs to: its newest continuation that says something.

        A continuation that ended without a word is none: what it went on with stands.
        """
        stubs = {node.id for node in nodes if node.is_stub}
        newest: dict[UUID, UUID] = {}
        above = _top_down(self._continued)
        for id_ in reversed(above):
            parent = self._continued[id_]
            if parent is None or (id_ in stubs and id_ not in newest):
                continue
            tip = newest.get(id_, id_)
            if parent not in newest or self._order[tip] > self._order[newest[parent]]:
                newest[parent] = tip
        version_of: dict[UUID, UUID] = {}
        for id_ in above:
            parent = self._continued[id_]
            is_void = parent is not None and id_ in stubs and id_ not in newest
            version_of[id_] = version_of[parent] if is_void else newest.get(id_, id_)  # type: ignore[index]
        return version_of

    def _chain(self, tip: UUID) -> tuple[UUID, ...]:
        chain = [tip]
        while (continued := self._continued[chain[-1]]) is not None:
            chain.append(continued)
        return tuple(reversed(chain))

    def _newest_below(self, tips: Sequence[UUID]) -> dict[UUID, int]:
        """For each version the age rank of the newest response that stands on it."""
        newest = {tip: self._order[tip] for tip in tips}
        for tip in reversed(_top_down(self._previous)):
            parent = self._previous[tip]
            if parent is not None:
                newest[parent] = max(newest[parent], newest[tip])
        return newest


def _parents(nodes: Sequence[Node], wanted: Mapping[UUID, UUID | None]) -> dict[UUID, UUID | None]:
    """Each node's parent; None where it is unknown, and where a loop has to be cut."""
    parents = {node.id: p if (p := wanted[node.id]) in wanted else None for node in nodes}
    sound: set[UUID] = set()
    for node in nodes:
        walked: dict[UUID, None] = {}
        id_: UUID | None = node.id
        while id_ is not None and id_ not in sound:
            if id_ in walked:
                parents[id_] = None
                break
            walked[id_] = None
            id_ = parents[id_]
        sound.update(walked)
    return parents


def _top_down(parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    """All ids, every parent before its children."""
    children: dict[UUID | None, list[UUID]] = {}
    for id_, parent in parents.items():
        children.setdefault(parent, []).append(id_)

    def walk(level: Iterable[UUID]) -> Iterator[UUID]:
        while level:
            yield from level
            level = [child for id_ in level for child in children.get(id_, ())]

    return list(walk(children.get(None, [])))
