"""Instructions that somebody gives, as the drawer of the chat page asks for them."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from streaming import conf
from streaming.identity.owners import owner_of_request
from streaming.models import Conversation
from streaming.pages.conversations.views import for_owners
from streaming.record import instructions
from streaming.record.errors import NotFound


@require_http_methods(["GET", "HEAD", "POST"])
@for_owners
def of_account(request: HttpRequest) -> HttpResponse:
    """What the drawer shows: `account` (null for a visitor), `conversation` (null: none of its own;
    `?conversation=` is its id), `limit` in characters, and whether the operator has some, too. A
    POST of `text` sets the account's."""
    user = request.user
    if request.method == "POST":
        if not user.is_authenticated:
            return _refused(_("Please sign in to chat here."), 401)
        try:
            instructions.set_of_account(user, _text(request))
        except instructions.TooLong as error:
            return _too_long(error)
        return HttpResponse(status=204)
    settings = conf.get()
    answer = {
        "account": instructions.of_account(user) if user.is_authenticated else None,
        "conversation": _own(request),
        "limit": settings.max_instructions_chars,
        "operator": bool(settings.instructions),
    }
    return JsonResponse(answer)


@require_POST
@for_owners
def of_conversation(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Set a conversation's own by `text`; with `inherits` it has none, so that the account's
    hold."""
    try:
        text = None if "inherits" in request.POST else _text(request)
        instructions.set_of_conversation(conversation_id, owner_of_request(request), text)
    except instructions.TooLong as error:
        return _too_long(error)
    except NotFound:
        raise Http404("There is no such conversation.") from None
    return HttpResponse(status=204)


def _own(request: HttpRequest) -> str | None:
    """Return the own instructions of the conversation that the query names; None as well if it is
    not there any more, or nobody's of this owner. (To set them is refused then.)"""
    if not (name := request.GET.get("conversation")):
        return None
    try:
        own = Conversation.objects.filter(pk=UUID(name), owner=owner_of_request(request))
    except ValueError:
        raise Http404("This is no conversation's id.") from None
    return own.values_list("instructions", flat=True).first()


def _text(request: HttpRequest) -> str:
    return instructions.cleaned(request.POST.get("text", ""))


def _too_long(error: instructions.TooLong) -> JsonResponse:
    text = _("The instructions have %(count)d characters; at most %(limit)d are allowed.")
    return _refused(text % {"count": error.count, "limit": error.limit}, 400)


def _refused(message: str, status: int) -> JsonResponse:
    return JsonResponse({"message": message}, status=status)
