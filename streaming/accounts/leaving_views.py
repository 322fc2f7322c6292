"""Taking everything with one, and deleting the account."""

from __future__ import annotations

import tempfile
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from streaming.accounts import archive
from streaming.accounts.attempt_limits import Limit
from streaming.accounts.deletion import (
    LastSuperuserError,
    delete_account,
    require_another_superuser,
)
from streaming.accounts.password_check import PasswordForm

ARCHIVE = Limit("archive", bound=5, seconds=60 * 60)
"""Archives that an account may have made."""


class LeaveForm(PasswordForm):
    """The account's name, typed, and its password."""

    name = forms.CharField(
        label=gettext_lazy("Your username, typed out"),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    field_order = ["name", "password"]

    def clean_name(self) -> str:
        """Return the name. Raises ValidationError if it is not the account's."""
        name: str = self.cleaned_data["name"]
        if name != self.user.get_username():
            raise ValidationError(_("This is not your username."), code="wrong_name")
        return name


@never_cache
@require_POST
@login_required
def download(request: HttpRequest) -> HttpResponseBase:
    """Send everything of the account as one ZIP, which is made on disk first."""
    assert request.user.is_authenticated
    if not ARCHIVE.take(str(request.user.pk)):
        messages.error(request, _("Too many downloads. Try again in an hour."))
        return redirect("account")
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it is sent
    try:
        archive.write_archive(request.user, file)
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    name = f"chatstream-{timezone.now():%Y-%m-%d}.zip"
    if not isinstance(request, ASGIRequest):
        return FileResponse(file, as_attachment=True, filename=name)
    response = StreamingHttpResponse(archive.chunks(file), content_type="application/zip")
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def delete(request: HttpRequest) -> HttpResponse:
    """Ask for name and password, then delete the account and all that is its own."""
    assert request.user.is_authenticated
    form = LeaveForm(request.POST or None, request=request)
    context: dict[str, Any] = {"form": form, "is_last": False}
    try:
        require_another_superuser(request.user)
        if form.is_valid():
            delete_account(request.user, request.session.session_key)
            logout(request)
            return _gone(request)
    except LastSuperuserError:
        context["is_last"] = True
    status = 409 if context["is_last"] else 400 if form.errors else 200
    return render(request, "streaming/accounts/delete.html", context, status=status)


def _gone(request: HttpRequest) -> HttpResponse:
    response = render(request, "streaming/accounts/deleted.html")
    response["Clear-Site-Data"] = '"storage"'  # drafts and settings that the browser keeps
    return response
