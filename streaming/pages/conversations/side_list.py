"""An owner's conversations as the side list shows them: newest first, by day, page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from streaming.models import Conversation, Message

PAGE_SIZE = 30
MAX_QUERY_CHARS = 200
TITLE_CHARS = 120

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LABELS: dict[str, str | Promise] = {
    "today": _("Today"),
    "yesterday": _("Yesterday"),
    "week": _("Previous 7 days"),
    "older": _("Older"),
}


@dataclass(slots=True)
class Group:
    """The conversations of some days, newest first."""

    key: str
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def label(self) -> str | Promise:
        """Return the heading of the group, in the language of the page."""
        return LABELS[self.key]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the list. `after` is the cursor of what follows, "" at the end."""

    groups: list[Group]
    after: str
    query: str = ""


def of_owner(owner: str) -> QuerySet[Conversation]:
    """What the side list may show and change. Those of API requests are not in it."""
    return Conversation.objects.filter(owner=owner, source=Conversation.Source.CHAT)


def page(owner: str, zone: tzinfo, query: str = "", after: str = "") -> Page:
    """At most `PAGE_SIZE` conversations whose title or text has `query` in it.

    Raises ValueError for a cursor that is none of ours.
    """
    query = clean(query)[:MAX_QUERY_CHARS]
    found = of_owner(owner)
    if query:
        text = Message.objects.filter(conversation=OuterRef("pk"), content__icontains=query)
        found = found.filter(Q(title__icontains=query) | Exists(text))
    if after:
        moment, pk = _parsed(after)
        found = found.filter(Q(updated_at__lt=moment) | Q(updated_at=moment, pk__lt=pk))
    rows = list(found.order_by("-updated_at", "-pk")[: PAGE_SIZE + 1])
    shown = rows[:PAGE_SIZE]
    cursor = _cursor(shown[-1]) if len(rows) > PAGE_SIZE else ""
    return Page(_grouped(shown, zone), cursor, query)


def clean(text: str) -> str:
    """One line without the NUL that databases refuse."""
    return " ".join(text.replace("\0", "").split())


def _grouped(rows: list[Conversation], zone: tzinfo) -> list[Group]:
    today = timezone.now().astimezone(zone).date()
    groups: list[Group] = []
    for row in rows:
        key = _key(today - row.updated_at.astimezone(zone).date())
        if not groups or groups[-1].key != key:
            groups.append(Group(key))
        groups[-1].conversations.append(row)
    return groups


def _key(age: timedelta) -> str:
    if age.days <= 0:  # or ahead, by another machine's clock
        return "today"
    if age.days == 1:
        return "yesterday"
    return "week" if age.days <= 7 else "older"


def _cursor(row: Conversation) -> str:
    return f"{(row.updated_at - _EPOCH) // timedelta(microseconds=1)}.{row.pk}"


def _parsed(cursor: str) -> tuple[datetime, UUID]:
    moment, _dot, pk = cursor.partition(".")
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 16):
        raise ValueError(f"{cursor!r} is no cursor")
    return _EPOCH + timedelta(microseconds=int(moment)), UUID(pk)
