"""What the owner of a conversation does with it: a file, a printed document, a link."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    JsonResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from streaming import conf
from streaming.identity.owners import must_sign_in, owner_of_request
from streaming.models import Conversation, Share
from streaming.pages.preferences import zone_of
from streaming.pages.sharing import document, markdown
from streaming.pages.sharing.downloads import download
from streaming.pages.sharing.names import file_name
from streaming.pages.thread import Version
from streaming.record import exports, shares

MOST_PRINTED_TURNS = 500
"""Turns of a document; earlier ones are left out, and it says so."""

View = Callable[..., HttpResponseBase]


def own_conversation(view: View) -> View:
    """Give a view the conversation that its address names; somebody else's does not exist."""

    @never_cache
    @wraps(view)
    def found(request: HttpRequest, conversation_id: UUID, **kwargs: Any) -> HttpResponseBase:
        if must_sign_in(request):
            return redirect_to_login(request.get_full_path())
        own = Conversation.objects.filter(owner=owner_of_request(request))
        return view(request, get_object_or_404(own, pk=conversation_id), **kwargs)

    return found


@require_safe
@own_conversation
def export(request: HttpRequest, conversation: Conversation) -> HttpResponseBase:
    """Download a conversation: `format=md` its shown path, `format=json` all of it.

    `leaf`: a response that the path leads through, else it leads to the newest. `model`: what
    answers at present, as the page knows it and the record does not.
    """
    match request.GET.get("format"):
        case "md":
            turns = document.turns_of(_path(request, conversation))
            pieces = markdown.lines(conversation.title, turns, model=_model(request))
            name = file_name(conversation.title, "md")
            return download(request, pieces, name, "text/markdown")
        case "json":
            name = file_name(conversation.title, "json")
            return download(request, exports.as_json(conversation), name, "application/json")
    return HttpResponseBadRequest("`format` must be md or json.", content_type="text/plain")


@require_safe
@own_conversation
def printed(request: HttpRequest, conversation: Conversation) -> HttpResponseBase:
    """The shown path as a document to print; `leaf` and `model` as in an export."""
    path = _path(request, conversation)
    left_out = max(0, len(path) - MOST_PRINTED_TURNS)
    turns = [document.DrawnTurn.of(turn) for turn in document.turns_of(path[left_out:])]
    context = {
        "title": conversation.title,
        "asker": _("You"),
        "turns": document.rendered(turns),
        "model": _model(request),
        "left_out": _left_out(left_out) if left_out else "",
        "zone": zone_of(request),
        "back": _page_of(request, conversation),
    }
    return render(request, "streaming/sharing/printed.html", context)


@require_safe
@own_conversation
def dialog(request: HttpRequest, conversation: Conversation) -> HttpResponseBase:
    """What can be done with a conversation: a page, or with `part=dialog` what a dialog shows."""
    return _dialog(request, conversation)


@require_POST
@own_conversation
def share(request: HttpRequest, conversation: Conversation) -> HttpResponseBase:
    """Copy the shown path for a link, which is made if there is none; `named`: with one's name."""
    _require_sharing()
    author = request.user.get_username() if request.POST.get("named") else ""
    ended = (t for t in document.turns_of(_path(request, conversation)) if not t.is_open)
    # One more than is allowed tells that there are too many.
    turns = list(islice(ended, shares.MOST_TURNS + 1))
    try:
        shares.share(conversation, [_shared(turn) for turn in turns], author=author)
    except shares.ShareRefused as refusal:
        return _refused(request, conversation, _refusal(refusal))
    return _done(request, conversation)


@require_POST
@own_conversation
def withdraw(request: HttpRequest, conversation: Conversation) -> HttpResponseBase:
    """Have a conversation's link open nothing any more."""
    shares.withdraw(Share.objects.filter(conversation=conversation))
    return _done(request, conversation)


@require_POST
@never_cache
def withdraw_link(request: HttpRequest, share_id: int) -> HttpResponse:
    """Withdraw one of the owner's links, from the list of them."""
    if must_sign_in(request):
        return redirect_to_login(reverse("account"))
    if not shares.withdraw(shares.of_owner(owner_of_request(request)).filter(pk=share_id)):
        raise Http404("There is no such link.")
    messages.success(request, _("The link was withdrawn. Nobody can open it any more."))
    return redirect("account")


def _model(request: HttpRequest) -> str:
    return " ".join(request.GET.get("model", "").replace("\0", "").split())[:200]


def _left_out(count: int) -> str:
    text = ngettext(
        "%(count)d earlier turn is left out.", "%(count)d earlier turns are left out.", count
    )
    return text % {"count": count}


def _done(request: HttpRequest, conversation: Conversation) -> HttpResponseBase:
    if request.POST.get("part") == "dialog":
        return _dialog(request, conversation)
    return redirect(reverse("sharing", args=[conversation.pk]) + _query(request))


def _refused(request: HttpRequest, conversation: Conversation, refusal: str) -> HttpResponse:
    if request.POST.get("part") == "dialog":
        return JsonResponse({"message": refusal}, status=409)
    return _dialog(request, conversation, refusal, 409)


def _dialog(
    request: HttpRequest, conversation: Conversation, refusal: str = "", status: int = 200
) -> HttpResponse:
    path = _path(request, conversation)
    given = Share.objects.filter(conversation=conversation).defer("turns").first()
    context = {
        "conversation": conversation,
        "leaf": path[-1].id if path else None,
        "has_turns": bool(path),
        "share": given,
        "is_current": bool(given and path and str(path[-1].id) == given.leaf),
        "link": given and request.build_absolute_uri(reverse("shared", args=[given.token])),
        "sharing": conf.get().sharing,
        "refusal": refusal,
        "zone": zone_of(request),
        "back": _page_of(request, conversation),
    }
    is_part = "dialog" in (request.GET.get("part"), request.POST.get("part"))
    template = "streaming/sharing/panel.html" if is_part else "streaming/sharing/page.html"
    return render(request, template, context, status=status)


def _refusal(refusal: shares.ShareRefused) -> str:
    match refusal:
        case shares.TooManyLinks():
            return _("You have as many links as one may have. Withdraw one of them first.")
        case shares.TooLarge():
            return _("This conversation is too long for a link. Export it instead.")
    return _("There is nothing to share yet.")


def _shared(turn: document.DocumentTurn) -> shares.SharedTurn:
    return {
        "id": str(turn.response_id),
        "prompt": turn.prompt or ", ".join(turn.files),
        "answer": turn.said,
        "model": turn.model,
    }


def _require_sharing() -> None:
    if not conf.get().sharing:
        raise Http404("Links are switched off.")


def _path(request: HttpRequest, conversation: Conversation) -> list[Version]:
    text = request.POST.get("leaf") or request.GET.get("leaf")
    try:
        return document.path_through(conversation, UUID(text) if text else None)
    except (KeyError, ValueError) as error:
        raise Http404("There is no such response in the conversation.") from error


def _page_of(request: HttpRequest, conversation: Conversation) -> str:
    return reverse("conversation", args=[conversation.pk]) + _query(request)


def _query(request: HttpRequest) -> str:
    leaf = request.POST.get("leaf") or request.GET.get("leaf")
    return f"?{urlencode({'leaf': leaf})}" if leaf else ""
