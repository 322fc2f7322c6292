"""The account's e-mail address, and a new password for one that was forgotten."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from streaming.accounts import email_address, mail
from streaming.accounts.attempt_limits import SIGN_IN
from streaming.accounts.backend import folded
from streaming.accounts.email_forms import EmailForm, ForgottenForm
from streaming.accounts.hashing import BusyError
from streaming.accounts.password_check import UNAVAILABLE
from streaming.identity import sessions
from streaming.identity.owners import address_of_request


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def email(request: HttpRequest) -> HttpResponse:
    """Ask for a new address and the password, then mail a link to the address."""
    assert request.user.is_authenticated
    user = request.user
    form = None
    if mail.can_be_sent() or user.email:
        first = {"email": request.session.get(email_address.PENDING) or user.email}
        form = EmailForm(request.POST or None, request=request, initial=first)
        if not mail.can_be_sent():
            form.fields["email"].disabled = True  # it can only be taken away
            form.initial["email"] = ""
        if form.is_valid():
            return _changed(request, form.cleaned_data["email"])
    status = 400 if form and form.errors else 200
    context = {"form": form, **mail.context()}
    return render(request, "streaming/accounts/email.html", context, status=status)


def _changed(request: HttpRequest, address: str) -> HttpResponse:
    assert request.user.is_authenticated
    if not address:
        email_address.change(request, request.user, "")
        messages.success(request, _("The account has no e-mail address now."))
    elif address == request.user.email:
        request.session.pop(email_address.PENDING, None)
    else:
        email_address.ask_to_confirm(request, request.user, address)
        text = _("A mail is on its way to %(address)s. Open the link in it to confirm the address.")
        messages.success(request, text % {"address": address})
    return redirect("account")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_email(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether the address of a mailed link should be the account's (mail programs open links by
    themselves), then write it."""
    found = email_address.of_token(token)
    if found is None:
        return render(request, "streaming/accounts/email_link_used.html", status=404)
    user, address = found
    names = {"address": address, "name": user.get_username()}
    if request.method == "POST":
        email_address.change(request, user, address)
        text = _("%(address)s is the address of the account %(name)s now.")
        messages.success(request, text % names)
        return redirect("account")
    question = {
        "title": _("Is this your address?"),
        "text": _(
            "%(address)s becomes the address of the account %(name)s. Whoever reads its mail can "
            "set a new password for the account."
        )
        % names,
        "action": _("Confirm the address"),
        "is_harmless": True,
    }
    return render(request, "streaming/accounts/confirm.html", question)


class ForgotPassword(auth_views.PasswordResetView):
    """Ask for an address, and mail a link there if an account has it. Where no mail can be sent,
    say so, without a form."""

    form_class = ForgottenForm
    template_name = "registration/password_reset_form.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        """Pass the request to the form, which counts by its network address."""
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whether mail works, and whom to ask if not."""
        return {**super().get_context_data(**kwargs), **mail.context()}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Send the mail; show the page again where none can be sent."""
        if not mail.can_be_sent():
            return self.get(request, *args, **kwargs)
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response


class ForgotPasswordDone(auth_views.PasswordResetDoneView):
    """Say that a mail is on its way, if an account has that address."""

    template_name = "registration/password_reset_done.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whom to ask if no mail comes."""
        return {**super().get_context_data(**kwargs), **mail.context()}


class NewPassword(auth_views.PasswordResetConfirmView):
    """Set a new password by a mailed link, which works once; all sessions of the account end."""

    template_name = "registration/password_reset_confirm.html"
    success_url = reverse_lazy("login")

    def form_valid(self, form: Any) -> HttpResponse:
        """Save the password; a busy server becomes an error of the form."""
        try:
            response: HttpResponse = super().form_valid(form)
        except BusyError:
            form.add_error(None, UNAVAILABLE)
            return self.form_invalid(form)
        assert isinstance(self.user, User)
        sessions.end_all(self.user)
        SIGN_IN.forget(address_of_request(self.request), folded(self.user.get_username()))
        messages.success(self.request, _("Your new password is set. Sign in with it."))
        return response
