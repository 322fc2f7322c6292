"""The chat page: empty, or with a conversation as the record has it.

What is stored is rendered here; what happens from then on comes over `/ws/chat/`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from streaming import conf
from streaming.identity.owners import must_sign_in, owner_of_request
from streaming.models import Conversation, Response
from streaming.pages import turns
from streaming.pages.files import mark_of, page_config
from streaming.pages.starters import starters

RATINGS = {"1": Response.Rating.LIKE, "-1": Response.Rating.DISLIKE, "0": None}


@never_cache
@require_safe
def chat(request: HttpRequest) -> HttpResponse:
    """A new conversation; it is stored with its first prompt."""
    if must_sign_in(request):
        return redirect_to_login(request.get_full_path())
    return _page(request, None, turns.Window([], False, None))


@never_cache
@require_safe
def conversation(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """A conversation of the visitor's own; anybody else's does not exist.

    `leaf`: a response that the displayed path has to lead through, else it leads to the newest.
    `part=thread`: only the turns, for a page that is open; `before`: those before this one.
    """
    if must_sign_in(request):
        return redirect_to_login(request.get_full_path())
    found = get_object_or_404(Conversation, pk=conversation_id, owner=owner_of_request(request))
    try:
        window = turns.window(found, _uuid(request, "leaf"), _uuid(request, "before"))
    except KeyError as error:
        raise Http404("There is no such response in the conversation.") from error
    if request.GET.get("part") == "thread":
        return render(request, "streaming/turns.html", {"window": window})
    return _page(request, found, window)


@never_cache
@require_safe
def newest(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """The id of a conversation's newest response, for a page that was not looked at for a while."""
    found = get_object_or_404(Conversation, pk=conversation_id, owner=owner_of_request(request))
    return JsonResponse({"newest": turns.newest(found)})


@require_POST
def rate(request: HttpRequest, response_id: UUID) -> HttpResponse:
    """Keep what the reader thinks of an answer: `rating` is 1, -1, or 0 to take it back."""
    own = Response.objects.filter(pk=response_id, owner=owner_of_request(request))
    if request.POST.get("rating") not in RATINGS:
        return JsonResponse({"error": "`rating` must be 1, -1 or 0."}, status=400)
    if not own.update(rating=RATINGS[request.POST["rating"]]):
        raise Http404("There is no such response.")
    return HttpResponse(status=204)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for it on pages that name no icon, such as the admin's."""
    return redirect(static("streaming/shared/icon.svg"))


def _uuid(request: HttpRequest, name: str) -> UUID | None:
    """A query parameter; KeyError for what is no UUID, since nothing has such an id."""
    text = request.GET.get(name)
    try:
        return UUID(text) if text else None
    except ValueError:
        raise KeyError(text) from None


def _page(request: HttpRequest, found: Conversation | None, window: turns.Window) -> HttpResponse:
    owner = owner_of_request(request)  # the socket finds the visitor in the session
    settings = conf.get()
    config: dict[str, Any] = {
        "max_input_chars": settings.max_input_chars,
        "conversation_id": found.pk if found else None,
        "on_branch": "leaf" in request.GET,
        "instructed": bool(found and found.instructions),
        # Who was signed in and is not any more is told so, and where to sign in.
        "signed_in": request.user.is_authenticated,
        "login_url": reverse("login"),
        # What is kept in the browser is kept apart for each account, and tells nothing of it.
        "owner": mark_of(owner),
        "files": page_config(),
    }
    context = {
        "config": config,
        "conversation": found,
        "window": window,
        "starters": [] if window.turns else starters(),
    }
    return render(request, "streaming/chat.html", context)
