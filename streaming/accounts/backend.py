"""Checks passwords with a bound on failed attempts, on our page and the admin's alike."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest

from streaming.accounts.attempt_limits import SIGN_IN, SIGN_IN_ADDRESS
from streaming.accounts.hashing import BusyError
from streaming.identity.owners import address_of_request
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)


class LimitedBackend(ModelBackend):
    """Django's own backend with a bound on failed attempts.

    A right password is refused like a wrong one while the bound is reached, and a name that
    does not exist is counted like one that does. Nobody gets in while the database is away.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the account of a name and password, None if they are wrong.

        Raises PermissionDenied beyond the bound and while the database is away, BusyError if too
        many passwords are being checked.
        """
        name = kwargs.get(get_user_model().USERNAME_FIELD) if username is None else username
        if request is None or name is None or password is None:
            return super().authenticate(request, username, password, **kwargs)
        address = address_of_request(request)
        try:
            if not _take(address, folded(name)):
                raise PermissionDenied  # no other backend is asked
            try:
                user = super().authenticate(request, username, password, **kwargs)
            except BusyError:
                _give_back(address, folded(name))
                request.META[_REFUSED] = "unavailable"
                raise
            if user is not None:
                SIGN_IN.forget(address, folded(name))
                SIGN_IN_ADDRESS.give_back(address)
        except DatabaseError as error:
            log_fault(logger, error, "A sign-in could not be checked.")
            request.META[_REFUSED] = "unavailable"
            raise PermissionDenied from error
        return user


_REFUSED = "streaming.sign_in_refused"


def is_unavailable(request: HttpRequest | None) -> bool:
    """Return whether a sign-in was refused because the database is away, or hashing is busy."""
    return request is not None and _REFUSED in request.META


def _take(address: str, name: str) -> bool:
    """Count an attempt; return whether it is within the bounds.

    The address is counted first: beyond its bound, invented names leave no rows. Without an address
    (a Unix socket) only the name is counted.
    """
    if address and not SIGN_IN_ADDRESS.take(address):
        return False
    if SIGN_IN.take(address, name):
        return True
    SIGN_IN_ADDRESS.give_back(address)  # it is not tried
    return False


def _give_back(address: str, name: str) -> None:
    SIGN_IN.give_back(address, name)
    SIGN_IN_ADDRESS.give_back(address)


def is_limited(request: HttpRequest, name: str) -> bool:
    """Return whether the next attempt with this name from this address will be refused.

    Raises DatabaseError.
    """
    address = address_of_request(request)
    return SIGN_IN.is_used_up(address, folded(name)) or (
        bool(address) and SIGN_IN_ADDRESS.is_used_up(address)
    )


def folded(name: str) -> str:
    """Return the form in which attempts with a name are counted: normalized, without case."""
    return get_user_model().normalize_username(name).strip().casefold()
