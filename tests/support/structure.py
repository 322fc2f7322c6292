"""What blocks the HTML of an answer shows, as a list of leaves: where, and the text there."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser

_BLOCKS = {*("p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre"), *("table", "tr")}
_BLOCKS |= {"th", "td"}
_NUMBERED = {"li", "tr", "th", "td"}

Leaf = tuple[str, str]


class _Leaves(HTMLParser):
    def __init__(self, index: int) -> None:
        super().__init__()
        self.leaves: list[Leaf] = []
        self._path = [str(index)]
        self._counts: dict[str, int] = {}
        self._owner = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "hr":
            self.leaves.append(("/".join(self._path) + "/hr", ""))
        if tag not in _BLOCKS:
            return
        self._owner = ""
        if tag in _NUMBERED:
            place = "/".join(self._path)
            number = self._counts[place] = self._counts.get(place, -1) + 1
            self._path.append(f"{tag}{number}")
        elif tag == "p" and self._path[-1].startswith("li"):
            self._path.append("")  # a loose list's item is its paragraph
        else:
            self._path.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._path.pop()
            self._owner = ""

    def handle_data(self, data: str) -> None:
        if not (text := "".join(data.split())):
            return
        place = "/".join(part for part in self._path if part)
        if self._owner != place:
            self.leaves.append((place, ""))
        self._owner = place
        self.leaves[-1] = place, self.leaves[-1][1] + text


def leaves_of(blocks: Sequence[str], tail: str = "") -> list[Leaf]:
    """The leaves of blocks; the tail stands in its place in the last of them."""
    leaves: list[Leaf] = []
    for index, html in enumerate(blocks):
        if index == len(blocks) - 1 and tail:
            place = '<span class="tail"></span>'
            assert place in html, f"no place for {tail!r} in {html!r}"
            html = html.replace(place, tail.replace("&", "&amp;").replace("<", "&lt;"))
        parser = _Leaves(index)
        parser.feed(html)
        parser.close()
        leaves += parser.leaves
    return leaves


def not_part_of(leaves: list[Leaf], final: list[Leaf]) -> str:
    """Why these leaves are no beginning of the final ones; empty: they are."""
    if len(leaves) > len(final):
        return f"more than the answer has: {leaves[len(final)]}"
    for number, ((where, text), (final_where, whole)) in enumerate(
        zip(leaves, final, strict=False)
    ):
        is_last = number == len(leaves) - 1
        if where != final_where:
            return f"{where} {text!r} is {final_where} {whole!r}"
        if not whole.startswith(text) or (text != whole and not is_last):
            return f"{where} shows {text!r} of {whole!r}"
    return ""


class _Items(HTMLParser):
    """Where the items of the outermost lists begin and end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.spans: list[tuple[int, int]] = []
        self._lines = [0]
        for line in html.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._depth = 0
        self.feed(html)
        self.close()

    @property
    def _at(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("ul", "ol"):
            self._depth += 1
            if self._depth == 1:
                self.spans = []  # of the last list
        elif tag == "li" and self._depth == 1:
            self.spans.append((self._at, 0))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._depth -= 1
        elif tag == "li" and self._depth == 1:
            self.spans[-1] = self.spans[-1][0], self._at + len("</li>")


def with_items(html: str, keep: int, more: str) -> str:
    """The HTML of a block whose list keeps so many items, followed by those of another list."""
    old, new = _Items(html).spans, _Items(more).spans
    assert new
    assert keep < len(old), (html, keep, more)
    return html[: old[keep][0]] + more[new[0][0] : new[-1][1]] + html[old[-1][1] :]
