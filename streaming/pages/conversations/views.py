"""What the side list asks for. Somebody else's conversation does not exist."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from streaming.identity.owners import must_sign_in, owner_of_request
from streaming.lifecycle.forgetting import forget
from streaming.models import OPEN
from streaming.pages.conversations import side_list
from streaming.pages.preferences import zone_of

View = Callable[..., HttpResponse]


def for_owners(view: View) -> View:
    """Scripts ask here, not people: no redirect to the sign-in page, but a plain refusal."""

    @never_cache
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if must_sign_in(request):
            return _refused(_("Please sign in to chat here."), 401)
        return view(request, *args, **kwargs)

    return guarded


@require_safe
@for_owners
def conversations(request: HttpRequest) -> HttpResponse:
    """A piece of the list as HTML: `?q=` searches, `?folder=` and `?archived=1` are shelves of it,
    `?after=` is the cursor of "Show more"."""
    query, after = request.GET.get("q", ""), request.GET.get("after", "")
    try:
        shelf = _shelf(request)
        page = side_list.page(owner_of_request(request), zone_of(request), query, after, shelf)
    except ValueError:
        return _refused(_("This part of the list does not exist. Reload the page."), 400)
    return render(request, "streaming/side/items.html", {"side": page})


@require_POST
@for_owners
def rename(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Give a conversation another title: one line, not empty, `TITLE_CHARS` at most."""
    found = side_list.of_owner(owner_of_request(request)).filter(pk=conversation_id)
    row = get_object_or_404(found)
    title = side_list.clean(request.POST.get("title", ""))
    if not title:
        return _refused(_("A title cannot be empty."), 400)
    if len(title) > side_list.TITLE_CHARS:
        limit = side_list.TITLE_CHARS
        text = ngettext(
            "A title has at most %(count)d character.",
            "A title has at most %(count)d characters.",
            limit,
        )
        return _refused(text % {"count": limit}, 400)
    found.update(title=title)  # not `save`: it keeps its place in the list
    return JsonResponse({"id": str(row.pk), "title": title})


@require_POST
@for_owners
def keep(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Pin a conversation (`pinned` is 1 or 0), archive it (`archived`), or put it into a folder
    (`folder`, "" for none). It keeps its place in the order; what is archived is not pinned."""
    found = side_list.of_owner(owner_of_request(request)).filter(pk=conversation_id)
    get_object_or_404(found)
    folder = side_list.clean(request.POST.get("folder", ""))
    if len(folder) > side_list.FOLDER_CHARS:
        limit = side_list.FOLDER_CHARS
        text = ngettext(
            "A folder's name has at most %(count)d character.",
            "A folder's name has at most %(count)d characters.",
            limit,
        )
        return _refused(text % {"count": limit}, 400)
    if "folder" in request.POST:
        found.update(folder=folder)
    if "pinned" in request.POST:
        found.update(pinned=request.POST["pinned"] == "1")
    if request.POST.get("archived") == "1":
        found.update(archived=True, pinned=False)
    elif "archived" in request.POST:
        found.update(archived=False)
    return HttpResponse(status=204)


@require_safe
@for_owners
def states(request: HttpRequest) -> HttpResponse:
    """What is open in the reader's conversations: `{id: "waiting" | "running"}`."""
    own = side_list.of_owner(owner_of_request(request))
    is_open = own.filter(responses__status__in=OPEN).values_list("pk", flat=True)
    return JsonResponse({str(pk): state for pk, state in side_list.states(is_open).items()})


@require_POST
@for_owners
def delete(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Delete a conversation; an answer that is open in it is stopped first."""
    found = side_list.of_owner(owner_of_request(request)).filter(pk=conversation_id)
    get_object_or_404(found)
    forget(found)
    return HttpResponse(status=204)


def _shelf(request: HttpRequest) -> side_list.Shelf | None:
    """Return the shelf that is asked for; None for the list itself."""
    if request.GET.get("archived") == "1":
        return side_list.Shelf(archived=True)
    folder = side_list.clean(request.GET.get("folder", ""))
    return side_list.Shelf(folder=folder) if folder else None


def _refused(message: str, status: int) -> JsonResponse:
    return JsonResponse({"message": message}, status=status)
