"""Trying failed responses again: one, or those selected in the history."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.admin import audit_log
from streaming.admin.orders import SHORT_ID, Notice, Order, Refused, Reply
from streaming.lifecycle import retrying
from streaming.record.errors import RecordError
from streaming.record.retries import NoRetry
from streaming.system.outages import LAYER_AWAY
from streaming.waiting_list.interface import AddressLimit, OwnerLimit, WaitingListError

MOST = 200
"""Responses that are tried again by one action."""


async def retry(order: Order) -> Reply:
    """`response_id`, once or several times."""
    given = order.form.getlist("response_id")
    if not given:
        raise Refused(_("Nothing was done: the form does not say which response."))
    if len(given) > MOST:
        text = _("%(count)d are selected; at most %(most)d are tried again at once.")
        raise Refused(text % {"count": len(given), "most": MOST})
    try:
        ids = [UUID(each) for each in dict.fromkeys(given)]
    except ValueError:
        raise Refused(_("There is no such response, or it was deleted.")) from None
    return await _retry_all(order, ids)


async def _retry_all(order: Order, ids: list[UUID]) -> list[Notice]:
    done: list[str] = []
    refused: Counter[str] = Counter()
    for number, response_id in enumerate(ids):
        try:
            found = await retrying.retry(order.layer, response_id)
        except (OwnerLimit, AddressLimit) as error:
            refused[str(error)] += 1
        except (WaitingListError, *LAYER_AWAY) as error:
            # What stops one stops all that follow.
            text = _("The queue did not answer.")
            refused[str(error) if isinstance(error, WaitingListError) else text] += (
                len(ids) - number
            )
            break
        except RecordError:
            refused[_why(NoRetry.GONE)] += 1
        else:
            if isinstance(found, NoRetry):
                refused[_why(found)] += 1
                continue
            done.append(str(found.pk))
            target = audit_log.response(str(response_id))
            await audit_log.write(order.operator_id, [target], f"Tried again as {found.pk}.")
    return _told(done, refused)


def _told(done: list[str], refused: Counter[str]) -> list[Notice]:
    said = []
    if len(done) == 1:
        text = _("It is tried again, as response %(id)s. The failed one stays.")
        said.append(Notice(text % {"id": done[0][:SHORT_ID]}))
    elif done:
        text = ngettext(
            "%(count)d response is tried again. The failed ones stay.",
            "%(count)d responses are tried again. The failed ones stay.",
            len(done),
        )
        said.append(Notice(text % {"count": len(done)}))
    for reason, count in refused.items():
        text = ngettext(
            "%(count)d was not tried again: %(reason)s",
            "%(count)d were not tried again: %(reason)s",
            count,
        )
        said.append(Notice(text % {"count": count, "reason": reason}, messages.WARNING))
    return said


def _why(reason: NoRetry) -> str:
    match reason:
        case NoRetry.GONE:
            return _("it is gone.")
        case NoRetry.NOT_FAILED:
            return _("it has not failed.")
        case NoRetry.ELSEWHERE:
            return _("it was imported: it failed elsewhere.")
        case NoRetry.BY_API:
            return _("a program asked for it by the API, and was told that it failed.")
        case NoRetry.LASTING:
            return _("it would fail again, by the reason that it has.")
        case NoRetry.OUTDATED:
            return _("its conversation has gone on, or it is tried again already.")
        case NoRetry.CLOSED:
            return _("its account is not active any more.")
