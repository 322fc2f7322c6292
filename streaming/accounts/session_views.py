"""Ending sessions of the account: one, or all but this one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from streaming.accounts.devices import device_name
from streaming.identity import sessions


def listed(request: HttpRequest) -> list[dict[str, object]]:
    """Return the account's sessions for its page, this one first."""
    assert request.user.is_authenticated
    if not sessions.are_noted():
        return []
    own = request.session.session_key
    rows = sorted(sessions.of_user(request.user), key=lambda row: row.session_key != own)
    return [
        {
            "pk": row.pk,
            "device": device_name(row.agent),
            "created_at": row.created_at,
            "last_used_at": row.last_used_at,
            "is_own": row.session_key == own,
        }
        for row in rows
    ]


@never_cache
@require_POST
@login_required
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Sign one browser of the account out; one that is signed out already, or somebody else's, is
    no fault, and says nothing about it."""
    assert request.user.is_authenticated
    row = request.user.sessions.filter(pk=session_id).first()
    if row is not None and row.session_key == request.session.session_key:
        logout(request)
    elif row is not None:
        sessions.end(row)
    messages.success(request, _("That browser is signed out."))
    return redirect("account")


@never_cache
@require_POST
@login_required
def end_others(request: HttpRequest) -> HttpResponse:
    """Sign all other browsers of the account out."""
    assert request.user.is_authenticated
    count = sessions.end_all(request.user, but=request.session.session_key)
    text = ngettext(
        "%(count)d other browser is signed out.", "%(count)d other browsers are signed out.", count
    )
    messages.success(request, text % {"count": count})
    return redirect("account")
