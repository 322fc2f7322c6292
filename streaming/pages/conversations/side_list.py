"""An owner's conversations as the side list shows them: newest first, by day, page by page.

What is pinned stands above; what is in a folder or archived stands on a shelf of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from streaming.models import OPEN, Conversation, Response, Status
from streaming.pages.conversations.found import Found, place
from streaming.record.search import Search, pattern_of

PAGE_SIZE = 30
MAX_QUERY_CHARS = 200
TITLE_CHARS = 120
FOLDER_CHARS = 60
MOST_PINNED = 100
MOST_FOLDERS = 200

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LABELS: dict[str, str | Promise] = {
    "pinned": _("Pinned"),
    "today": _("Today"),
    "yesterday": _("Yesterday"),
    "week": _("Previous 7 days"),
    "older": _("Older"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as the list shows it. `state` is "waiting" or "running" while one of its
    responses is; `found` is where a search has found its words."""

    conversation: Conversation
    state: str = ""
    found: Found | None = None

    @property
    def pk(self) -> UUID:
        """Return the conversation's id."""
        return self.conversation.pk


@dataclass(slots=True)
class Group:
    """The conversations of some days, newest first."""

    key: str
    rows: list[Row] = field(default_factory=list)

    @property
    def label(self) -> str | Promise:
        """Return the heading of the group, in the language of the page; "" if it has none."""
        return LABELS.get(self.key, "")


@dataclass(frozen=True, slots=True)
class Shelf:
    """A part of the list that is opened on demand: a folder, or what is archived."""

    folder: str = ""
    archived: bool = False
    count: int = 0

    def rows_of(self, own: QuerySet[Conversation]) -> QuerySet[Conversation]:
        """Return those of an owner's conversations that stand on it."""
        if self.archived:
            return own.filter(archived=True)
        return _unpinned(own).filter(folder=self.folder)


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands around the days on the first page: above them what is pinned, and the folders;
    below them the archive. Each may be missing."""

    pinned: Group
    folders: list[Shelf]
    archive: Shelf


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the list. `after` is the cursor of what follows, "" at the end. `beside` is there on
    the first page of the list itself."""

    groups: list[Group]
    after: str
    query: str = ""
    shelf: Shelf | None = None
    beside: Beside | None = None


def of_owner(owner: str) -> QuerySet[Conversation]:
    """What the side list may show and change. Those of API requests are not in it."""
    return Conversation.objects.filter(owner=owner, source=Conversation.Source.CHAT).defer(
        "instructions"
    )


def page(
    owner: str, zone: tzinfo, query: str = "", after: str = "", shelf: Shelf | None = None
) -> Page:
    """At most `PAGE_SIZE` conversations; on the first page, those that are pinned as well.

    A `query` finds them wherever they stand, by their titles and texts; else there are those of a
    shelf, or those that stand on none. Raises ValueError for a cursor that is none of ours.
    """
    query = clean(query)[:MAX_QUERY_CHARS]
    own = of_owner(owner)
    search = Search(owner, query) if query else None
    wanted = search.among(own) if search else (shelf or Shelf()).rows_of(own)
    rows, cursor = _piece(wanted, after)
    found = _found(search, query, rows) if search else {}
    if search:
        return Page(_grouped(_rows(rows, found), zone), cursor, query)
    if shelf:
        return Page([Group("shelf", _rows(rows))] if rows else [], cursor, shelf=shelf)
    beside = None if after else _beside(own)
    return Page(_grouped(_rows(rows), zone), cursor, beside=beside)


def _beside(own: QuerySet[Conversation]) -> Beside:
    archived = own.filter(archived=True).count()
    return Beside(
        Group("pinned", _rows(list(_pinned(own)))),
        _folders(own),
        Shelf(archived=True, count=archived),
    )


def _pinned(own: QuerySet[Conversation]) -> QuerySet[Conversation]:
    return own.filter(pinned=True, archived=False).order_by("-updated_at", "-pk")[:MOST_PINNED]


def _unpinned(own: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Return what is not archived and does not stand above: of more than MOST_PINNED, those used
    longest ago stand where they would unpinned."""
    above = list(_pinned(own).values_list("pk", flat=True))
    rows = own.filter(archived=False)
    if len(above) < MOST_PINNED:
        return rows.filter(pinned=False)
    return rows.exclude(pk__in=above)


def _folders(own: QuerySet[Conversation]) -> list[Shelf]:
    """Return the folders by their names, with how many conversations are in each."""
    filed = _unpinned(own).exclude(folder="")
    counted = filed.order_by("folder").values_list("folder").annotate(count=Count("pk"))
    return [Shelf(name, count=count) for name, count in counted[:MOST_FOLDERS]]


def states(rows: Iterable[UUID]) -> dict[UUID, str]:
    """Return "running" or "waiting" for each of these conversations in which something is open."""
    found: dict[UUID, str] = {}
    is_open = Response.objects.filter(conversation__in=list(rows), status__in=OPEN)
    for pk, status in is_open.values_list("conversation_id", "status"):
        if status == Status.IN_PROGRESS:
            found[pk] = "running"
        else:
            found.setdefault(pk, "waiting")
    return found


def _piece(wanted: QuerySet[Conversation], after: str) -> tuple[list[Conversation], str]:
    if after:
        moment, pk = _parsed(after)
        wanted = wanted.filter(Q(updated_at__lt=moment) | Q(updated_at=moment, pk__lt=pk))
    rows = list(wanted.order_by("-updated_at", "-pk")[: PAGE_SIZE + 1])
    shown = rows[:PAGE_SIZE]
    return shown, _cursor(shown[-1]) if len(rows) > PAGE_SIZE else ""


def _found(search: Search, query: str, rows: list[Conversation]) -> dict[UUID, Found]:
    words = pattern_of(search.terms)
    matches = search.newest_in(rows)
    return {pk: place(pk, match, query, words) for pk, match in matches.items()}


def _rows(
    conversations: list[Conversation], found: Mapping[UUID, Found] | None = None
) -> list[Row]:
    state, place = states(row.pk for row in conversations), found or {}
    return [Row(row, state.get(row.pk, ""), place.get(row.pk)) for row in conversations]


def clean(text: str) -> str:
    """One line without the NUL that databases refuse."""
    return " ".join(text.replace("\0", "").split())


def _grouped(rows: list[Row], zone: tzinfo) -> list[Group]:
    today = timezone.now().astimezone(zone).date()
    groups: list[Group] = []
    for row in rows:
        key = _key(today - row.conversation.updated_at.astimezone(zone).date())
        if not groups or groups[-1].key != key:
            groups.append(Group(key))
        groups[-1].rows.append(row)
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
