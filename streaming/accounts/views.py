"""Sign in, out and up, change the password, delete all conversations.

Django's own views and forms wherever it has them. What cannot be undone has to be confirmed, on a
page of its own that needs no script.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django.views.generic import FormView

from streaming import conf
from streaming.accounts import email_address, mail
from streaming.accounts.email_forms import take_mail
from streaming.accounts.forms import SignInForm, SignUpForm
from streaming.accounts.hashing import BusyError
from streaming.accounts.password_check import UNAVAILABLE, check_password
from streaming.identity.owners import must_sign_in, owner_of_request
from streaming.lifecycle.forgetting import forget
from streaming.models import Conversation

if TYPE_CHECKING:
    _SignUpView = FormView[SignUpForm]
else:
    _SignUpView = FormView


class SignIn(auth_views.LoginView):
    """Sign in; `owners.merge_at_login` gives the visitor's conversations to the account."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whether a forgotten password can be set anew by mail, and whom to ask if not."""
        return {**super().get_context_data(**kwargs), **mail.context()}


class SignOut(auth_views.LogoutView):
    """Sign out; `owners.part_at_logout` makes the browser a new visitor."""


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SignUp(auth_views.RedirectURLMixin, _SignUpView):
    """Create an account and sign in with it; 404 where sign-up is switched off."""

    form_class = SignUpForm
    template_name = "registration/signup.html"
    next_page = settings.LOGIN_REDIRECT_URL

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Raise Http404 where signing up is switched off; redirect whoever is signed in."""
        if not conf.get().signup:
            raise Http404
        if request.user.is_authenticated:
            return redirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        """Pass the request to the form, which limits sign-ups by address."""
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the page to return to, if it is one of this site."""
        next_ = {self.redirect_field_name: self.get_redirect_url()}
        return {**super().get_context_data(**kwargs), **next_}

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        """Create the account and sign in; a busy database becomes an error of the form."""
        try:
            user = form.save()
        except BusyError:
            form.add_error(None, UNAVAILABLE)
            return self.form_invalid(form)
        login(self.request, user)
        if address := form.cleaned_data.get("address"):
            self._ask_to_confirm(user, address)
        return super().form_valid(form)

    def _ask_to_confirm(self, user: User, address: str) -> None:
        with contextlib.suppress(ValidationError):  # the account is made; it can ask again
            take_mail(self.request, address)
            email_address.ask_to_confirm(self.request, user, address)


class PasswordForm(PasswordChangeForm):
    """The old password, bounded as at signing in, and the new one twice."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Return the old password. Raises ValidationError if it is wrong, or beyond the bound."""
        old: str = self.cleaned_data["old_password"]
        check_password(self.request, old)
        return old


class ChangePassword(auth_views.PasswordChangeView):
    """Change the password, which signs out all other browsers, as in Django."""

    form_class = PasswordForm
    template_name = "registration/change_password.html"  # the admin has one of the usual name
    success_url = reverse_lazy("account")

    def get_form_kwargs(self) -> dict[str, Any]:
        """Pass the request to the form, which counts wrong passwords."""
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        """Save the new password and confirm it in a message."""
        try:
            response: HttpResponse = super().form_valid(form)
        except BusyError:
            form.add_error(None, UNAVAILABLE)
            return self.form_invalid(form)
        messages.success(self.request, _("Your password was changed."))
        return response


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete_all(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation, then delete all of the owner's chats and stop their open answers."""
    if must_sign_in(request):
        return auth_views.redirect_to_login(request.get_full_path())
    owner = owner_of_request(request)
    found = Conversation.objects.filter(owner=owner, source=Conversation.Source.CHAT)
    if request.method == "POST":
        count = forget(found)
        text = ngettext(
            "%(count)d conversation was deleted.", "%(count)d conversations were deleted.", count
        )
        messages.success(request, text % {"count": count})
        return redirect("account")
    question = {
        "title": _("Delete all conversations?"),
        "text": _("Prompts and answers are deleted for good; answers being written are stopped."),
        "action": _("Delete all conversations"),
    }
    return render(request, "streaming/accounts/confirm.html", question)
