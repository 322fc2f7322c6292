"""Which responses an operator means to cancel: one, those selected, or an owner's open ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from streaming.admin.orders import MOST_AFFECTED, Order, Refused
from streaming.live_queue import search
from streaming.live_queue.overview import LiveQueue
from streaming.live_queue.pages import first_board
from streaming.models import OPEN, Response, Status
from streaming.record.database import in_database


@dataclass(frozen=True, slots=True)
class Row:
    """A response that somebody means, as the record has it."""

    response_id: str
    owner: str
    status: str

    @property
    def runs(self) -> bool:
        """Return whether it is being answered."""
        return self.status == Status.IN_PROGRESS


@dataclass(slots=True)
class Chosen:
    """What an operator means. `unknown` counts ids that the record does not have; `left` what is
    open beyond MOST_AFFECTED. The waiting ones stand first: what has a place does not start in
    the place of one that was just ended."""

    fields: list[tuple[str, str]]
    rows: list[Row]
    ended: int = 0
    unknown: int = 0
    left: int = 0
    owner: str = ""

    @property
    def alone(self) -> bool:
        """Whether one response is meant, whatever became of it."""
        return not self.owner and len(self.rows) + self.ended + self.unknown == 1

    @property
    def running(self) -> int:
        """Return how many of them are being answered."""
        return sum(row.runs for row in self.rows)


async def choose(order: Order) -> Chosen:
    """Read `response_id`, `owner`, `selection=selected` with `selected` for each, or `found`: the
    table in which all that the search `q` finds are meant.

    Raises Refused.
    """
    kinds = ("response_id", "owner", "selection", "found")
    given = [name for name in kinds if order.form.get(name)]
    if len(given) > 1:
        raise Refused(_("Nothing was done: the form names one thing and another at once."))
    if not given:
        raise Refused(_("Nothing was done: the form does not say what to cancel."))
    if given == ["owner"]:
        return cast(Chosen, await _of_owner(order.form["owner"]))
    if given == ["response_id"]:
        return cast(Chosen, await _of_ids([order.form["response_id"]], "response_id"))
    if given == ["found"]:
        ids = await _found(order)
        if not ids:
            raise Refused(_("Nothing is found that could be cancelled."))
    else:
        ids = list(dict.fromkeys(order.form.getlist("selected")))
        if not ids:
            raise Refused(_("No response is selected."))
    if len(ids) > MOST_AFFECTED:
        text = ngettext(
            "%(count)d response is selected; at most %(most)d can be cancelled at once.",
            "%(count)d responses are selected; at most %(most)d can be cancelled at once.",
            len(ids),
        )
        raise Refused(text % {"count": len(ids), "most": MOST_AFFECTED})
    return cast(Chosen, await _of_ids(ids, "selected"))


async def _found(order: Order) -> list[str]:
    """Return the ids of all that the search finds in a table, also of those that no page shows.

    The question then names these ids: what is confirmed is what was counted, and nothing that has
    come since.
    """
    table = order.text("found")
    if table not in ("running", "waiting"):
        raise Refused(_("Nothing was done: the form does not say what to cancel."))
    look = await LiveQueue(order.layer.waiting_list).look()
    board = first_board(look, {}, get_language() or "", time.time())
    return list(search.matching(board.tables[table], search.terms_of(order.text("q"))))


@in_database
def _of_ids(texts: list[str], name: str) -> Chosen:
    ids = {_uuid(text) or text for text in texts}
    rows = _rows(Response.objects.filter(pk__in=[name for name in ids if _uuid(name)]))
    still = [row for row in rows if row.status in OPEN]
    fields = [(name, row.response_id) for row in still]
    if name == "selected":
        fields.append(("selection", "selected"))
    return Chosen(fields, still, ended=len(rows) - len(still), unknown=len(ids) - len(rows))


@in_database
def _of_owner(owner: str) -> Chosen:
    rows = []
    if "\x00" not in owner:  # no database holds that, and some refuse to look for it
        rows = _rows(Response.objects.filter(owner=owner, status__in=OPEN))
    left = max(0, len(rows) - MOST_AFFECTED)
    return Chosen([("owner", owner)], rows[:MOST_AFFECTED], left=left, owner=owner)


def _rows(queryset: QuerySet[Response]) -> list[Row]:
    """Those that wait first, the newest first: no held one takes a place that is to go, too."""
    found = queryset.order_by("-created_at").values_list("pk", "owner", "status")
    rows = [Row(str(pk), owner, status) for pk, owner, status in found]
    return sorted(rows, key=lambda row: row.runs)


def _uuid(text: str) -> str:
    """In its one spelling; empty for what is none."""
    try:
        return str(UUID(text.strip()))
    except ValueError:
        return ""
