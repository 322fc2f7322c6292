"""The chat page: empty, or with a conversation as the record has it.

What is stored is rendered here; what happens from then on comes over `/ws/chat/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from streaming import conf
from streaming.models import OPEN, Conversation, Response, Status
from streaming.owners import must_sign_in, owner_of_request


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and its answer, as the page shows them."""

    response_id: UUID
    status: str
    is_open: bool
    prompt: str
    text: str
    note: str
    meta: str


@never_cache
@require_safe
def chat(request: HttpRequest) -> HttpResponse:
    """A new conversation; it is stored with its first prompt."""
    if must_sign_in(request):
        return redirect_to_login(request.get_full_path())
    owner_of_request(request)  # the socket finds the visitor in the session
    return _page(request, None)


@never_cache
@require_safe
def conversation(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """A conversation of the visitor's own; anybody else's does not exist."""
    if must_sign_in(request):
        return redirect_to_login(request.get_full_path())
    owner = owner_of_request(request)
    return _page(request, get_object_or_404(Conversation, pk=conversation_id, owner=owner))


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for it on pages that name no icon, such as the admin's."""
    return redirect(static("streaming/icon.svg"))


def _page(request: HttpRequest, found: Conversation | None) -> HttpResponse:
    config = {
        "max_input_chars": conf.get().max_input_chars,
        "conversation_id": str(found.pk) if found else None,
    }
    context = {"config": config, "conversation": found, "turns": _turns(found) if found else []}
    return render(request, "streaming/chat.html", context)


def _turns(found: Conversation) -> list[Turn]:
    responses = found.responses.select_related("prompt").order_by("created_at")
    return [_turn(response) for response in responses]


def _turn(response: Response) -> Turn:
    waits = response.status in (Status.ACCEPTING, Status.QUEUED)
    return Turn(
        response_id=response.pk,
        status=Status.QUEUED if waits else Status(response.status),
        is_open=response.status in OPEN,
        prompt=response.prompt.content,
        text=response.text,
        note=trimmed_note(response.trimmed_messages),
        meta=_meta(response),
    )


def trimmed_note(count: int) -> str:
    """What the reader is told when the context was full. `words.js` says the same."""
    if count == 0:
        return ""
    text = ngettext(
        "The oldest message no longer fit and was left out.",
        "The oldest %(count)d messages no longer fit and were left out.",
        count,
    )
    return text % {"count": count}


def _meta(response: Response) -> str:
    """The line below an ended answer. `words.js` says the same."""
    if response.finished_at is None:
        return ""
    if response.status == Status.CANCELLED and response.started_at is None:
        return _("Withdrawn before it started")
    parts: list[str] = []
    if response.status == Status.CANCELLED:
        parts.append(_("Stopped"))
    elif response.status == Status.INCOMPLETE:
        parts.append(_("Cut at the token limit"))
    elif response.status == Status.FAILED:
        parts.append(response.error_message or _("The answer failed."))
    if response.completion_tokens:
        count = response.completion_tokens
        parts.append(ngettext("%(count)d token", "%(count)d tokens", count) % {"count": count})
        seconds = (response.finished_at - response.created_at).total_seconds()
        parts.append(_("%(seconds)s s") % {"seconds": f"{seconds:.1f}"})
    return " · ".join(parts)
