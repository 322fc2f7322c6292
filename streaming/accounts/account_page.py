"""The account's page: its parts, and its API keys."""

from __future__ import annotations

import json
import shlex
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from streaming.accounts import email_address, mail, session_views
from streaming.accounts.forms import ApiKeyForm
from streaming.identity import keys
from streaming.identity.owners import must_sign_in
from streaming.system.outages import AWAY
from streaming.waiting_list.serving import model_details


@never_cache
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Show the account with its keys and sessions, or a visitor's preferences."""
    if must_sign_in(request):
        return auth_views.redirect_to_login(request.get_full_path())
    return _page(request)


def _page(request: HttpRequest, form: ApiKeyForm | None = None, secret: str = "") -> HttpResponse:
    context: dict[str, Any] = {"secret": secret, "form": form, **mail.context()}
    if request.user.is_authenticated:
        context["form"] = form or ApiKeyForm(user=request.user)
        context["keys"] = request.user.api_keys.filter(revoked_at=None)
        context["sessions"] = session_views.listed(request)
        pending = request.session.get(email_address.PENDING, "")
        context["pending_email"] = "" if pending == request.user.email else pending
    if secret:
        context |= _first_use(request, secret)
    refused = form is not None and bool(form.errors)
    return render(
        request, "streaming/accounts/account.html", context, status=400 if refused else 200
    )


def _first_use(request: HttpRequest, secret: str) -> dict[str, str]:
    """Return what a new key is used with: the base URL, and a command line that works as it is."""
    base_url = request.build_absolute_uri("/v1")
    body = {"model": _model(), "messages": [{"role": "user", "content": _("Hello!")}]}
    lines = (
        f"curl {shlex.quote(base_url + '/chat/completions')}",
        f"-H {shlex.quote(f'Authorization: Bearer {secret}')}",
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    )
    return {"base_url": base_url, "curl": " \\\n  ".join(lines)}


def _model() -> str:
    """Return the name of the model that answers; any name will do while none does."""
    try:
        details = async_to_sync(model_details)(get_channel_layer())
    except AWAY:
        details = {}
    return str(details.get("model") or "default")


@never_cache
@require_POST
@login_required
def create_key(request: HttpRequest) -> HttpResponse:
    """Create a key and show its secret, which is stored nowhere.

    Hence no redirect, for which the secret would have to be kept in the session.
    """
    assert request.user.is_authenticated
    form = ApiKeyForm(request.POST, user=request.user)
    if not form.is_valid():
        return _page(request, form)
    _key, secret = keys.create(request.user, form.cleaned_data["name"])
    return _page(request, secret=secret)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def revoke_key(request: HttpRequest, key_id: int) -> HttpResponse:
    """Ask for confirmation, then revoke a key of the account."""
    assert request.user.is_authenticated
    key = get_object_or_404(request.user.api_keys, pk=key_id, revoked_at=None)
    if request.method == "POST":
        keys.revoke(key)
        messages.success(request, _("The key “%(name)s” was revoked.") % {"name": key.name})
        return redirect("account")
    question = {
        "title": _("Revoke the key “%(name)s”?") % {"name": key.name},
        "text": _("Programs that use it are refused from then on. This cannot be undone."),
        "action": _("Revoke the key"),
    }
    return render(request, "streaming/accounts/confirm.html", question)
