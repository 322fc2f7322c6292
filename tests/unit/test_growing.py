"""While an answer comes, what is shown of it is a beginning of what it will be."""

from __future__ import annotations

import pytest

from streaming.markup import MarkupStream, render
from tests.every_kind import EVERY_KIND
from tests.inline_pool import inline_pool
from tests.structure import leaves_of, not_part_of
from tests.unit.test_markup import Page

__all__ = ["inline_pool"]


def faults(text: str, size: int) -> list[str]:
    """What was shown that the whole text does not have, or was taken back."""
    final, found, before = leaves_of(render(text)), [], ""
    stream, page = MarkupStream(), Page()
    for start in range(0, len(text), size):
        delta = text[start : start + size]
        page.show(stream.feed(delta), delta)
        leaves = leaves_of(page.blocks, page.tail)
        now = "".join(shown for _, shown in leaves)
        if fault := not_part_of(leaves, final):
            found.append(f"{start + size}: {fault}")
        if not now.startswith(before):
            found.append(f"{start + size}: taken back: {before[-40:]!r} is {now[-40:]!r}")
        before = now
    page.show(stream.finish())
    assert page.blocks == render(text)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 40])
def test_no_moment_shows_what_the_answer_does_not_have(size: int, inline_pool: object) -> None:
    assert faults(EVERY_KIND, size) == []
