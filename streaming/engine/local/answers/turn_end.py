"""Finds what the chat template writes around an answer: what the answer begins with, and which
token ends its turn.

Models often do not declare that token: one that was fine-tuned to chat may still declare the end of
a text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streaming.engine.base import ChatMessage

ASKED, ANSWERED = "Mulberry", "Kumquat"
"""Words that no template writes by itself."""

ONE_TURN = (ChatMessage("user", ASKED),)
TWO_TURNS = (*ONE_TURN, ChatMessage("assistant", ANSWERED), ChatMessage("user", "Hello"))
"""The conversations that are rendered to find them."""

Decode = Callable[[Sequence[int]], str]


def end_of_turn(
    tokens: Sequence[int],
    added: Collection[int],
    decode: Decode,
    skipped: Collection[int] = (),
    closes: Collection[str] = (),
) -> int | None:
    """Return the added token that follows ANSWERED in a prompt of TWO_TURNS; None if ordinary text
    does. Blanks, `closes` and `skipped` tokens may stand between."""
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
    """Return the last added token that a prompt of ONE_TURN has after ASKED, `skipped` ones aside,
    and the text between it and the next added token or the end. Without a token: None, and the text
    after ASKED."""
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
    """Return the added tokens of a prompt, and the texts between them."""
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
    """Return what comes after the last `word`; nothing if it is not there."""
    for at in range(len(pieces) - 1, -1, -1):
        piece = pieces[at]
        if isinstance(piece, str) and word in piece:
            return [piece.rpartition(word)[2], *pieces[at + 1 :]]
    return []
