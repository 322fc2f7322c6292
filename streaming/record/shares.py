"""Links by which a copy of a conversation can be read: made, made anew, found, withdrawn."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import TypedDict

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from streaming.models import Conversation, Share

MOST_LINKS = 100
"""Links of one owner."""
MOST_TURNS = 500
"""Turns of one copy."""
MOST_CHARS = 1_000_000
"""Characters of one copy, prompts and answers together."""

_TOKEN_BYTES = 24
_TOKEN = re.compile(r"[\w-]{1,43}", re.ASCII)


class SharedTurn(TypedDict):
    """A prompt and its answer as they are shown; `id` is the response's, `model` may be empty."""

    id: str
    prompt: str
    answer: str
    model: str


class ShareRefused(Exception):
    """No link was made, and none was changed."""


class NothingToShare(ShareRefused):
    """The path has no turn."""


class TooLarge(ShareRefused):
    """The path has more than MOST_TURNS turns or MOST_CHARS characters."""


class TooManyLinks(ShareRefused):
    """The owner has MOST_LINKS links."""


def of_owner(owner: str) -> QuerySet[Share]:
    """Return an owner's links, the newest first, without what they show."""
    return Share.objects.filter(conversation__owner=owner).defer("turns").order_by("-created_at")


def find(token: str) -> Share | None:
    """Return what a link shows; None if it was never made, or is withdrawn."""
    if not _TOKEN.fullmatch(token):  # nor does every database look for every character
        return None
    return Share.objects.filter(token=token).first()


def share(conversation: Conversation, turns: Sequence[SharedTurn], *, author: str = "") -> Share:
    """Copy turns for whoever has the conversation's link, which is made if there is none.

    A link that is there shows these turns from now on. `author` is shown as the one who asked.
    Raises ShareRefused.
    """
    if not turns:
        raise NothingToShare
    chars = sum(len(turn["prompt"]) + len(turn["answer"]) for turn in turns)
    if len(turns) > MOST_TURNS or chars > MOST_CHARS:
        raise TooLarge
    values = {
        "title": conversation.title,
        "author": author,
        "leaf": turns[-1]["id"],
        "turns": list(turns),
    }
    try:
        with transaction.atomic():
            known = Share.objects.filter(conversation=conversation).first()
            if known is None:
                if of_owner(conversation.owner).count() >= MOST_LINKS:
                    raise TooManyLinks
                token = secrets.token_urlsafe(_TOKEN_BYTES)
                return Share.objects.create(conversation=conversation, token=token, **values)
    except IntegrityError:  # somebody made it at the same moment
        known = Share.objects.get(conversation=conversation)
    for name, value in values.items():
        setattr(known, name, value)
    known.save(update_fields=[*values, "updated_at"])
    return known


def withdraw(links: QuerySet[Share]) -> int:
    """Have links open nothing any more; return how many there were."""
    return links.delete()[0]
