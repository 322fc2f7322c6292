"""The forms that send mail: a new address, and a forgotten password. Both are bounded, so that
nobody's mailbox is filled from here."""

from __future__ import annotations

import logging
from typing import Any

from django import forms
from django.contrib.auth.forms import PasswordResetForm
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from streaming.accounts import mail, mail_texts
from streaming.accounts.password_check import UNAVAILABLE, PasswordForm
from streaming.identity.owners import address_of_request
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)


def take_mail(request: HttpRequest, to: str) -> None:
    """Count a mail that is asked for. Raises ValidationError beyond the limits.

    The limits count what was typed, whether or not anybody has that address.
    """
    limited = ValidationError(
        _("Too many mails were asked for. Try again in an hour."), code="limited"
    )
    try:
        if not mail.FROM_ADDRESS.take(address_of_request(request)):
            raise limited
        if not mail.TO_ADDRESS.take(to.casefold()):
            raise limited
    except DatabaseError as error:
        log_fault(logger, error, "A mail could not be counted.")
        raise ValidationError(UNAVAILABLE, code="unavailable") from error


class EmailForm(PasswordForm):
    """An account's new e-mail address; empty: none."""

    email = forms.EmailField(
        label=_("E-mail"),
        required=False,
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    field_order = ["email", "password"]

    def clean(self) -> dict[str, Any] | None:
        """Check the password, then count the mail."""
        cleaned = super().clean()
        address = self.cleaned_data.get("email")
        if not self.errors and address and address != self.user.email:
            take_mail(self.request, address)
        return cleaned


class ForgottenForm(PasswordResetForm):
    """Asks for a mail with a link that sets a new password. Says the same for every address."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.fields["email"].label = _("E-mail")

    def clean_email(self) -> str:
        """Return the address. Raises ValidationError beyond the limits."""
        address: str = self.cleaned_data["email"]
        take_mail(self.request, address)
        return address

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        """Send the mail to one of the accounts with this address, in the background."""
        names = [context["uid"], context["token"]]
        link = self.request.build_absolute_uri(reverse("password_reset_confirm", args=names))
        mail_texts.send_new_password(to_email, context["user"], link, self.request.get_host())
