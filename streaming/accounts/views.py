"""Sign in, out and up, change the password, and the account's page.

Django's own views and forms wherever it has them. What cannot be undone has to be confirmed, on a
page of its own that needs no script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.generic import FormView

from streaming import conf
from streaming.accounts.forms import UNAVAILABLE, ApiKeyForm, SignInForm, SignUpForm
from streaming.accounts.hashing import BusyError
from streaming.identity import keys
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
        return super().form_valid(form)


class ChangePassword(auth_views.PasswordChangeView):
    """Change the password, which signs out all other browsers, as in Django."""

    template_name = "registration/change_password.html"  # the admin has one of the usual name
    success_url = reverse_lazy("account")

    def form_valid(self, form: Any) -> HttpResponse:
        """Save the new password and confirm it in a message."""
        messages.success(self.request, _("Your password was changed."))
        response: HttpResponse = super().form_valid(form)
        return response


@never_cache
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Show the account with its keys, or a visitor's preferences."""
    if must_sign_in(request):
        return auth_views.redirect_to_login(request.get_full_path())
    return _page(request)


def _page(request: HttpRequest, form: ApiKeyForm | None = None, secret: str = "") -> HttpResponse:
    context: dict[str, Any] = {"secret": secret, "form": form}
    if request.user.is_authenticated:
        context["form"] = form or ApiKeyForm(user=request.user)
        context["keys"] = request.user.api_keys.filter(revoked_at=None)
    refused = form is not None and bool(form.errors)
    return render(
        request, "streaming/accounts/account.html", context, status=400 if refused else 200
    )


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
