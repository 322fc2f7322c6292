"""The mails that the site writes, each in the language of the page that asked for it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.accounts import mail

_HOUR = 60 * 60


def send_new_password(to: str, user: User, link: str, host: str) -> None:
    """Mail a link that sets a new password."""
    mail.send(
        to,
        _("New password for %(host)s") % {"host": host},
        _("Somebody, most likely you, asked for a new password for the account %(name)s.")
        % {"name": user.get_username()},
        _("This link sets it:"),
        link,
        _works_for(),
        _("If it was not you, do nothing: your password stays as it is."),
    )


def send_confirmation(to: str, user: User, link: str, host: str) -> None:
    """Mail a link that makes an address the account's."""
    mail.send(
        to,
        _("Confirm your address for %(host)s") % {"host": host},
        _("This address was given for the account %(name)s.") % {"name": user.get_username()},
        _("This link confirms it:"),
        link,
        _works_for(),
        _("If the account is not yours, do nothing: the address is not used."),
    )


def send_changed(to: str, user: User, host: str) -> None:
    """Tell a former address that it is the account's no longer."""
    mail.send(
        to,
        _("Your address for %(host)s was changed") % {"host": host},
        _("This is no longer the address of the account %(name)s.") % {"name": user.get_username()},
        _("If it was not you who changed it, ask whoever runs the site for help at once."),
    )


def _works_for() -> str:
    hours = max(1, settings.PASSWORD_RESET_TIMEOUT // _HOUR)
    text = ngettext(
        "It works once, for %(count)d hour.", "It works once, for %(count)d hours.", hours
    )
    return text % {"count": hours}
