"""What surrounds an answer in a prompt, as the chat template writes it: what it begins with, and
which token ends its turn.

A model's own declarations often lack that token: one that was trained further to chat may still
declare no more than the end of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streaming.engine.base import ChatMessage

ASKED, ANSWERED = "Mulberry", "Kumquat"
"""Words that no template writes by itself."""

ONE_TURN = (ChatMessage("user", ASKED),)
TWO_TURNS = (*ONE_TURN, ChatMessage("assistant", ANSWERED), ChatMessage("user", "Hello"))
"""What has to be rendered to see these things."""

Decode = Callable[[Sequence[int]], str]


def end_of_turn(
    tokens: Sequence[int],
    added: Collection[int],
    decode: Decode,
    skipped: Collection[int] = (),
    closes: Collection[str] = (),
) -> int | None:
    """The added token that follows ANSWERED in a prompt of TWO_TURNS; blanks, `closes`, and
    `skipped` tokens may stand between. None if ordinary text follows."""  # fmt: skip
    following = after(ANSWERED, pieces_of(tokens, added, decode))
    for piece in following:
        if isinstance(piece, int):
            if piece not in skipped:
                return piece
        elif piece.strip() not in {"", *closes}:
            return None
    return None


def begin_of_answer(
    tokens: Sequence[int], added: Collection[int], decode: Decode, skipped: Collection[int] = ()
) -> tuple[int | None, str]:
    """The last added token that a prompt of ONE_TURN has after ASKED, `skipped` ones aside, and the
    text between it and the next added token or the end. Without a token: the text after ASKED."""
    anchor, lead = None, ""
    follows = True
    for piece in after(ASKED, pieces_of(tokens, added, decode)):
        if isinstance(piece, str):
            lead += piece if follows else ""
        elif piece in skipped:
            follows = False
        else:
            anchor, lead, follows = piece, "", True
    return anchor, lead


def pieces_of(tokens: Sequence[int], added: Collection[int], decode: Decode) -> list[str | int]:
    """Added tokens, and the text between them."""
    pieces: list[str | int] = []
    run: list[int] = []
    for token in tokens:
        if token not in added:
            run.append(token)
            continue
        if run:
            pieces.append(decode(run))
            run = []
        pieces.append(token)
    if run:
        pieces.append(decode(run))
    return pieces


def after(word: str, pieces: Sequence[str | int]) -> list[str | int]:
    """What comes after the last `word`; nothing if it is not there."""
    for at in range(len(pieces) - 1, -1, -1):
        piece = pieces[at]
        if isinstance(piece, str) and word in piece:
            return [piece.rpartition(word)[2], *pieces[at + 1 :]]
    return []
