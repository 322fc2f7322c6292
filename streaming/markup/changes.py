"""What a page has to change when more of an answer has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """Block `index` of the answer, counted from 0, has this HTML from now on.

    `keep`: the list at its end keeps so many items, and the HTML is a list of those that follow.
    """

    index: int
    html: str
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What the page has to do: set `blocks`, and then the text in the place for it in the last one.

    `tail` is that text; None: append `more` to the present one.
    """

    blocks: list[Block]
    tail: str | None
    more: str = ""
