"""What operators do in the live queue, each an address below it that takes a POST.

Writes never go over the socket. Each checks its own permission beside `view_queue`, asks first
where it hurts, is written to the admin log, and says what was done on the page it came from.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    QueryDict,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, resolve, reverse
from django.urls import path as url_path
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from streaming.admin import (
    alerting,
    announcing,
    cancelling,
    limits,
    moving,
    queue_actions,
    retrying,
    workers,
)
from streaming.admin.orders import Earlier, Notice, Order, Question, Refused, Reply
from streaming.system.outages import LAYER_AWAY, log_fault

logger = logging.getLogger(__name__)

CANCEL = "streaming.cancel_response"
CONTROL = "streaming.control_queue"

EARLIER = "queue_earlier"
"""The session's key of what the last move can be taken back to."""


@dataclass(frozen=True, slots=True)
class Action:
    """`name` is its address below the queue's, and the end of its URL's name."""

    name: str
    permission: str
    carry_out: Callable[[Order], Awaitable[Reply]]


ACTIONS = (
    Action("cancel", CANCEL, cancelling.cancel),
    Action("move", CONTROL, moving.move),
    Action("unmove", CONTROL, moving.unmove),
    Action("pause", CONTROL, workers.pause),
    Action("resume", CONTROL, workers.resume),
    Action("drain", CONTROL, workers.drain),
    Action("undrain", CONTROL, workers.undrain),
    Action("capacity", CONTROL, workers.capacity),
    Action("close", CONTROL, queue_actions.close),
    Action("reopen", CONTROL, queue_actions.reopen),
    Action("retry", CONTROL, retrying.retry),
    Action("limit", CONTROL, limits.change),
    Action("announce", CONTROL, announcing.announce),
    Action("take-down", CONTROL, announcing.take_down),
    Action("set-alert", CONTROL, alerting.set_rule),
    Action("add-receiver", CONTROL, alerting.add_receiver),
    Action("remove-receiver", CONTROL, alerting.remove_receiver),
    Action("test-receiver", CONTROL, alerting.test_receiver),
)


def urls(model_admin: Any) -> list[URLPattern]:
    """The actions' addresses, below that of the live queue."""
    return [
        url_path(
            f"queue/{action.name}/",
            model_admin.admin_site.admin_view(_view(model_admin, action)),
            name=f"streaming_response_queue_{action.name}",
        )
        for action in ACTIONS
    ]


def _view(model_admin: Any, action: Action) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        _require(request, action)
        if request.method in ("GET", "HEAD"):
            # As after signing in again: the address was kept, what was sent was not.
            messages.warning(request, _("Nothing was done. Choose the action again."))
            return HttpResponseRedirect(_queue_url(model_admin))
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        answer = _carry_out(request, action, request.POST)
        if isinstance(answer, Question):
            return _ask(model_admin, request, answer)
        for said in answer:
            messages.add_message(request, said.level, said.text)
        return HttpResponseRedirect(_next(model_admin, request))

    return view


def carry_out(request: HttpRequest, name: str, fields: Mapping[str, Sequence[str]]) -> list[Notice]:
    """Carry out an action for another page of the admin, with these fields in place of a form.
    Raises PermissionDenied."""
    action = next(each for each in ACTIONS if each.name == name)
    _require(request, action)
    form = QueryDict(mutable=True)
    for field, values in fields.items():
        form.setlist(field, list(values))
    answer = _carry_out(request, action, form)
    assert not isinstance(answer, Question)
    return answer


def _require(request: HttpRequest, action: Action) -> None:
    may_look = request.user.has_perm("streaming.view_queue")
    if not (may_look and request.user.has_perm(action.permission)):
        raise PermissionDenied


def _carry_out(request: HttpRequest, action: Action, form: QueryDict) -> Reply:
    order = Order(
        layer=get_channel_layer(),
        form=form,
        operator_id=cast(int, request.user.pk),  # of staff, who are signed in
        confirmed=request.POST.get("confirmed") == "1",
        earlier=earlier(request),
    )
    try:
        answer: Reply = async_to_sync(action.carry_out)(order)
    except Refused as refusal:
        return [Notice(str(refusal), messages.ERROR)]
    except LAYER_AWAY as error:
        log_fault(logger, error, "The queue did not answer to %s.", action.name)
        text = _(
            "The queue did not answer. Look at what it shows before you try again: this may have "
            "been done, or not."
        )
        return [Notice(text, messages.ERROR)]
    _keep(request, answer)
    return answer


def earlier(request: HttpRequest) -> Earlier | None:
    """Return what the operator's last move can be taken back to, None for nothing."""
    try:
        kept = Earlier(**request.session.get(EARLIER) or {})
    except TypeError:
        return None
    return kept if time.time() - kept.at <= moving.UNDO_SECONDS else None


def _keep(request: HttpRequest, answer: Reply) -> None:
    """Let the session have what the operator may take back next."""
    if isinstance(answer, Question):
        return
    for said in answer:
        if said.undo:
            request.session[EARLIER] = asdict(said.undo)
            return
    if resolve(request.path).url_name == "streaming_response_queue_unmove":
        request.session.pop(EARLIER, None)


def _ask(model_admin: Any, request: HttpRequest, question: Question) -> HttpResponse:
    back = _next(model_admin, request)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": question.title,
        "opts": model_admin.opts,
        "question": question,
        "fields": [*question.fields, ("next", back), ("confirmed", "1")],
        "back": back,
        "queue_url": _queue_url(model_admin),
        "can_view_responses": model_admin.has_view_permission(request),
    }
    return TemplateResponse(request, "admin/streaming/response/queue_confirm.html", context)


def _next(model_admin: Any, request: HttpRequest) -> str:
    """Where the operator came from, if that is on this site; else the live queue."""
    url = request.POST.get("next", "")
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(url, hosts, require_https=request.is_secure()):
        return url
    return _queue_url(model_admin)


def _queue_url(model_admin: Any) -> str:
    return reverse("admin:streaming_response_queue", current_app=model_admin.admin_site.name)
