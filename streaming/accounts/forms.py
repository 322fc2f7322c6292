"""Django's own forms for accounts, with what is ours: limits, and words for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from streaming.accounts.backend import is_limited
from streaming.accounts.limits import SIGN_UP
from streaming.models import ApiKey
from streaming.owners import address_of_request

if TYPE_CHECKING:
    _SignUp = UserCreationForm[User]
    _KeyForm = forms.ModelForm[ApiKey]
else:
    _SignUp, _KeyForm = UserCreationForm, forms.ModelForm

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
        if name and self.request is not None and is_limited(self.request, name):
            raise ValidationError(self.error_messages["limited"], code="limited")
        cleaned: dict[str, Any] = super().clean()
        return cleaned


class SignUpForm(_SignUp):
    """Name and password. Whether a name is taken can be asked so often only."""

    class Meta:
        model = User
        fields = ("username",)

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def full_clean(self) -> None:
        self.is_refused = self.is_bound and not SIGN_UP.take(address_of_request(self.request))
        super().full_clean()

    def clean_username(self) -> str:
        if self.is_refused:
            raise ValidationError(
                _("Too many accounts were asked for from your network. Try again in an hour."),
                code="limited",
            )
        return super().clean_username()

    def _post_clean(self) -> None:
        if not self.is_refused:  # it would ask the database for the name all the same
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
