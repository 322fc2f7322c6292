"""What operators tell all users: written here, and taken down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from streaming.admin import audit_log
from streaming.admin.orders import Notice, Order, Refused, Reply, shown, warned
from streaming.models import Announcement
from streaming.record import accounts, announcements

_LATEST = timedelta(days=3660)


async def announce(order: Order) -> Reply:
    """`text`, `level`, and perhaps `starts_at` and `ends_at`: moments of the site's time zone, as a
    browser's `datetime-local` field writes them."""
    text = order.text("text").replace("\r\n", "\n")
    if not text:
        raise Refused(_("Write what all users are told."))
    if len(text) > announcements.MOST_CHARS:
        said = _("The message has %(count)d characters; at most %(most)d are allowed.")
        raise Refused(said % {"count": len(text), "most": announcements.MOST_CHARS})
    if "\x00" in text:
        raise Refused(_("The message has a character that no text may have."))
    level = order.text("level") or Announcement.Level.INFO
    if level not in Announcement.Level.values:
        raise Refused(_("“%(given)s” is no level.") % {"given": shown(level)})
    begins, ends = _moment(order, "starts_at"), _moment(order, "ends_at")
    now = timezone.now()
    if ends is not None and ends <= max(begins or now, now):
        raise Refused(_("It would end before it begins, or be over already."))
    operator = await accounts.username(order.operator_id)
    row = await announcements.add(text, level, begins, ends, operator)
    await audit_log.write(
        order.operator_id,
        [audit_log.QUEUE],
        f"Announced to all users ({level}, {_span(row)}): {text}",
    )
    if begins and begins > now:
        return [Notice(_("All users will be told from then on."))]
    return [Notice(_("All users are told within a few seconds."))]


async def take_down(order: Order) -> Reply:
    """`announcement`: its key."""
    given = order.text("announcement")
    row = await announcements.end(int(given)) if given.isdecimal() and len(given) < 19 else None
    if row is None:
        return warned(_("It is over already."))
    await audit_log.write(
        order.operator_id, [audit_log.QUEUE], f"Took down what all users were told: {row.text}"
    )
    return [Notice(_("It is taken down; open pages hear of it within a few seconds."))]


def _moment(order: Order, name: str) -> datetime | None:
    given = order.text(name)
    if not given:
        return None
    try:
        moment: Any = parse_datetime(given)
    except ValueError:
        moment = None
    if moment is None:
        raise Refused(_("“%(given)s” is no moment.") % {"given": shown(given)})
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    if not timezone.now() - _LATEST < moment < timezone.now() + _LATEST:
        raise Refused(_("“%(given)s” is no moment of these years.") % {"given": shown(given)})
    found: datetime = moment
    return found


def _span(row: Announcement) -> str:
    begins = f"from {row.starts_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    ends = f" until {row.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if row.ends_at else ""
    return begins + ends
