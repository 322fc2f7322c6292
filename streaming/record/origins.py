"""Where open prompts came from and how long they are, for operators: never what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models.functions import Length

from streaming.models import Response
from streaming.record.database import in_database


@dataclass(frozen=True, slots=True)
class Origin:
    """`source` is one of `Conversation.Source`, `characters` the length of the prompt."""

    source: str
    characters: int


def read(response_ids: Iterable[str]) -> dict[str, Origin]:
    """Return the origin of each response that the record has, by its id, in this thread."""
    ids = [name for name in response_ids if _is_uuid(name)]
    rows = Response.objects.filter(pk__in=ids).annotate(characters=Length("prompt__content"))
    found = rows.values_list("pk", "conversation__source", "characters")
    return {str(pk): Origin(source, count or 0) for pk, source, count in found}


of = in_database(read)
"""Return the origin of each response that the record has, by its id."""


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
