"""The account's instructions, on its page and without a script."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from streaming.record import instructions


@never_cache
@require_POST
@login_required
def save(request: HttpRequest) -> HttpResponse:
    """Keep the text and go back to the account's page; show it again with what is wrong with it."""
    assert request.user.is_authenticated
    text = request.POST.get("text", "")
    try:
        instructions.set_of_account(request.user, instructions.cleaned(text))
    except instructions.TooLong as error:
        fault = _("The instructions have %(count)d characters; at most %(limit)d are allowed.")
        context = {"fault": fault % {"count": error.count, "limit": error.limit}, "text": text}
        return render(request, "streaming/accounts/instructions_again.html", context, status=400)
    messages.success(request, _("Your instructions were saved."))
    return redirect("account")
