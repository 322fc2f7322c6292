"""Django's forms for accounts, with our limits and their messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm, UsernameField
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from streaming.accounts import mail
from streaming.accounts.attempt_limits import SIGN_UP
from streaming.accounts.backend import is_limited, is_unavailable
from streaming.accounts.password_check import LIMITED, UNAVAILABLE
from streaming.identity.owners import address_of_request
from streaming.models import ApiKey
from streaming.system.outages import log_fault

if TYPE_CHECKING:
    _SignUp = UserCreationForm[User]
    _KeyForm = forms.ModelForm[ApiKey]
else:
    _SignUp, _KeyForm = UserCreationForm, forms.ModelForm

logger = logging.getLogger(__name__)

MAX_KEYS = 50
"""Maximum keys of an account that are not revoked."""


class SignInForm(AuthenticationForm):
    """Signs in; a message of its own says that there were too many failed attempts."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "limited": LIMITED,
    }

    def clean(self) -> dict[str, Any]:
        """Check name and password. Raises ValidationError, also beyond the limit of attempts."""
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
        """Return the error for a refused sign-in: unavailable, or a wrong password."""
        if is_unavailable(self.request):
            return ValidationError(UNAVAILABLE, code="unavailable")
        return super().get_invalid_login_error()


class SignUpForm(_SignUp):
    """Name and password, with a limit: the form also tells which names are taken. Where mail can be
    sent, also an e-mail address, which the account gets when it is confirmed."""

    address = forms.EmailField(
        label=_("E-mail (optional)"),
        required=False,
        max_length=254,
        help_text=_("For a new password, should you forget yours. Used for nothing else."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    class Meta:
        model = User
        fields = ("username",)
        field_classes = {"username": UsernameField}  # as Django's own has it

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        if not mail.can_be_sent():
            del self.fields["address"]

    def full_clean(self) -> None:
        """Count a sent form towards the limit, then validate it."""
        self.refusal = self._refusal() if self.is_bound else None
        super().full_clean()

    def _refusal(self) -> ValidationError | None:
        """Return why the form is refused without looking at its fields, None if it is not."""
        try:
            if SIGN_UP.take(address_of_request(self.request)):
                return None
        except DatabaseError as error:
            log_fault(logger, error, "A sign-up could not be counted.")
            return ValidationError(UNAVAILABLE, code="unavailable")
        text = _("Too many accounts were asked for from your network. Try again in an hour.")
        return ValidationError(text, code="limited")

    def clean_username(self) -> str:
        """Return the name. Raises ValidationError if it is taken or the form is refused."""
        if self.refusal:
            raise self.refusal
        return super().clean_username()

    def _post_clean(self) -> None:
        if not self.refusal:  # the parent would look the name up in the database
            super()._post_clean()  # type: ignore[misc]  # the stubs do not have it


class ApiKeyForm(_KeyForm):
    """The name of a new key of `user`."""

    class Meta:
        model = ApiKey
        fields = ("name",)
        labels = {"name": _("Name of the new key")}

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["name"].widget.attrs["autocomplete"] = "off"

    def clean(self) -> dict[str, Any] | None:
        """Raise ValidationError if the account has MAX_KEYS keys already."""
        if self.user.api_keys.filter(revoked_at=None).count() >= MAX_KEYS:
            raise ValidationError(
                _("You have %(count)d keys; revoke one first."),
                code="too_many",
                params={"count": MAX_KEYS},
            )
        return super().clean()
