"""Asking for the password again before something that a thief of a session must not do.

Wrong ones count as failed sign-ins, so that nobody guesses it here.
"""

from __future__ import annotations

import logging
from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from streaming.accounts.backend import is_limited, is_unavailable
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

UNAVAILABLE = _("This cannot be checked right now. Try again in a moment.")
LIMITED = _("Too many failed attempts. Try again in a few minutes.")


def check_password(request: HttpRequest, password: str) -> None:
    """Raise ValidationError if this is not the password of the request's account, if there were too
    many attempts, or if it cannot be checked."""
    name = request.user.get_username()
    try:
        if is_limited(request, name):
            raise ValidationError(LIMITED, code="limited")
    except DatabaseError as error:
        log_fault(logger, error, "A password could not be checked.")
        raise ValidationError(UNAVAILABLE, code="unavailable") from error
    found = authenticate(request, username=name, password=password)
    if is_unavailable(request):
        raise ValidationError(UNAVAILABLE, code="unavailable")
    if found is None or found.pk != request.user.pk:
        raise ValidationError(_("This is not your password."), code="wrong_password")


class PasswordForm(forms.Form):
    """A form that asks for the account's password. An account without one is not asked."""

    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        assert isinstance(request.user, User)
        self.user: User = request.user
        if not self.user.has_usable_password():
            del self.fields["password"]

    def clean(self) -> dict[str, Any] | None:
        """Check the password last: only what is right otherwise counts as an attempt."""
        cleaned = super().clean()
        if not self.errors and "password" in self.fields:
            try:
                check_password(self.request, self.cleaned_data["password"])
            except ValidationError as error:
                self.add_error("password", error)
        return cleaned
