"""Django's own forms for accounts, with what is ours: limits, and words for them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from streaming.accounts.attempt_limits import SIGN_UP
from streaming.accounts.backend import is_limited, is_unavailable
from streaming.identity.owners import address_of_request
from streaming.models import ApiKey
from streaming.system.outages import log_fault

if TYPE_CHECKING:
    _SignUp = UserCreationForm[User]
    _KeyForm = forms.ModelForm[ApiKey]
else:
    _SignUp, _KeyForm = UserCreationForm, forms.ModelForm

logger = logging.getLogger(__name__)

UNAVAILABLE = _("This cannot be checked right now. Try again in a moment.")

MAX_KEYS = 50
"""Keys of an account that are not revoked."""


class SignInForm(AuthenticationForm):
    """Says that it is enough for now, instead of what a wrong password is told."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "limited": _("Too many failed attempts. Try again in a few minutes."),
    }

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        try:
            limited = name and self.request is not None and is_limited(self.request, name)
        except DatabaseError as error:
            log_fault(logger, error, "A sign-in could not be checked.")
            raise ValidationError(UNAVAILABLE, code="unavailable") from error
        if limited:
            raise ValidationError(self.error_messages["limited"], code="limited")
        cleaned: dict[str, Any] = super().clean()
        return cleaned

    def get_invalid_login_error(self) -> ValidationError:
        if is_unavailable(self.request):
            return ValidationError(UNAVAILABLE, code="unavailable")
        return super().get_invalid_login_error()


class SignUpForm(_SignUp):
    """Name and password. Whether a name is taken can be asked so often only."""

    class Meta:
        model = User
        fields = ("username",)

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def full_clean(self) -> None:
        self.refusal = self._refusal() if self.is_bound else None
        super().full_clean()

    def _refusal(self) -> ValidationError | None:
        """Why nothing of what was entered is looked at."""
        try:
            if SIGN_UP.take(address_of_request(self.request)):
                return None
        except DatabaseError as error:
            log_fault(logger, error, "A sign-up could not be counted.")
            return ValidationError(UNAVAILABLE, code="unavailable")
        text = _("Too many accounts were asked for from your network. Try again in an hour.")
        return ValidationError(text, code="limited")

    def clean_username(self) -> str:
        if self.refusal:
            raise self.refusal
        return super().clean_username()

    def _post_clean(self) -> None:
        if not self.refusal:  # it would ask the database for the name all the same
            super()._post_clean()  # type: ignore[misc]  # the stubs do not have it


class ApiKeyForm(_KeyForm):
    """A new key's name; `user` is whose it will be."""

    class Meta:
        model = ApiKey
        fields = ("name",)
        labels = {"name": _("Name of the new key")}

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["name"].widget.attrs["autocomplete"] = "off"

    def clean(self) -> dict[str, Any] | None:
        if self.user.api_keys.filter(revoked_at=None).count() >= MAX_KEYS:
            raise ValidationError(
                _("You have %(count)d keys; revoke one first."),
                code="too_many",
                params={"count": MAX_KEYS},
            )
        return super().clean()
