"""The e-mail address of an account. It becomes the account's when a link mailed there is opened.

Until then it is used for nothing. The link is signed, works once and for as long as one that resets
a password, and stops working when the password or the address has changed.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from streaming.accounts import mail, mail_texts

PENDING = "pending_email"
"""In the session: the address that a link was sent to."""

_SALT = "streaming.email"


def ask_to_confirm(request: HttpRequest, user: User, address: str) -> None:
    """Mail a link that makes an address the account's, and remember that in the session."""
    path = reverse("email_confirm", args=[token_of(user, address)])
    link = request.build_absolute_uri(path)
    mail_texts.send_confirmation(address, user, link, request.get_host())
    request.session[PENDING] = address


def token_of(user: User, address: str) -> str:
    """Return the signed token of a link that makes an address the account's."""
    return signing.dumps([user.pk, address, _state(user)], salt=_SALT)


def of_token(token: str) -> tuple[User, str] | None:
    """Return whose address a link confirms, and which; None for one that does not work (any
    more)."""
    try:
        pk, address, state = signing.loads(
            token, salt=_SALT, max_age=settings.PASSWORD_RESET_TIMEOUT
        )
    except (signing.BadSignature, ValueError):
        return None
    user = User.objects.filter(pk=pk, is_active=True).first()
    if user is None or not constant_time_compare(state, _state(user)):
        return None
    return user, address


def change(request: HttpRequest, user: User, address: str) -> None:
    """Make an address ("": none) the account's, and tell the former one that it is no longer."""
    former, user.email = user.email, address
    user.save(update_fields=["email"])
    request.session.pop(PENDING, None)
    if former and former != address and mail.can_be_sent():
        mail_texts.send_changed(former, user, request.get_host())


def _state(user: User) -> str:
    """Return what changes when the password or the address does."""
    return salted_hmac(_SALT, f"{user.password}\0{user.email}").hexdigest()[:20]
