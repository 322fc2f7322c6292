"""Markdown beside Chinese, Japanese and Korean, which write no spaces where its rules expect them.

Emphasis follows the CJK-friendly amendments to CommonMark
(github.com/tats-u/markdown-cjk-friendly): a mark may open before, and close behind, punctuation
where a CJK character stands on its other side, as it may where a space does; and punctuation of
these scripts counts as a letter does. Nothing changes where no such character stands beside a mark.
"""

from __future__ import annotations

import re
import unicodedata

from linkify_it import LinkifyIt  # type: ignore[import-untyped]
from linkify_it.main import Match  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline.state_inline import Scanned, StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType

_URL_ENDS = re.compile(
    "[\u3000-\u3003\u3008-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff64"
    "\u2018-\u201f\u2026]"
)
"""Punctuation and brackets of these scripts: a URL that is not escaped has none of them."""


def is_cjk(character: str) -> bool:
    """Whether it is wide in East Asia, or Hangul, and no emoji."""
    if character < "\u1100":
        return False
    if unicodedata.category(character) == "So":
        return False
    wide = unicodedata.east_asian_width(character) in "WFH"
    return wide or unicodedata.name(character, "").startswith("HANGUL")


class _State(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:
        marker, end = self.src[start], start
        while end < self.posMax and self.src[end] == marker:
            end += 1
        before = self.src[start - 1] if start > 0 else " "
        after = self.src[end] if end < self.posMax else " "
        opens = _may_stand(inside=after, outside=before)
        closes = _may_stand(inside=before, outside=after)
        if canSplitWord:
            return Scanned(opens, closes, end - start)
        return Scanned(
            opens and (not closes or _is_punctuation(before)),
            closes and (not opens or _is_punctuation(after)),
            end - start,
        )


def _may_stand(inside: str, outside: str) -> bool:
    """Whether a mark between the two may have the first one on its inner side."""
    if isWhiteSpace(ord(inside)):
        return False
    if not _is_punctuation(inside) or is_cjk(inside):
        return True
    return isWhiteSpace(ord(outside)) or _is_punctuation(outside) or is_cjk(outside)


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)


class CjkInline(ParserInline):
    """markdown-it's parser of lines, with the rule above for emphasis."""

    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        """Parse inline text, with emphasis that Chinese and Japanese punctuation may touch."""
        state = _State(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


class CjkLinkify(LinkifyIt):
    """Finds URLs that end where such punctuation begins."""

    def match(self, text: str) -> list[Match] | None:
        """Return the links in a text, each ended where Chinese or Japanese text begins."""
        found: list[Match] = []
        start = 0
        for end in (*(place.start() for place in _URL_ENDS.finditer(text)), len(text)):
            piece = text[start:end]
            for match in (super().match(piece) or ()) if ":" in piece else ():
                match.index += start
                match.last_index += start
                found.append(match)
            start = end + 1
        return found or None

    def match_at_start(self, text: str) -> Match | None:
        """Return the link that a text begins with, ended in the same way; None if there is none."""
        end = _URL_ENDS.search(text)
        return super().match_at_start(text[: end.start()] if end else text)
