"""Checks passwords, but only so often: on our page and on the admin's alike."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from streaming.accounts.limits import SIGN_IN, SIGN_IN_ADDRESS
from streaming.owners import address_of_request


class LimitedBackend(ModelBackend):
    """Django's own backend with a bound on failed attempts.

    A right password is refused like a wrong one while the bound is reached, and a name that
    does not exist is counted like one that does.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        name = kwargs.get(get_user_model().USERNAME_FIELD) if username is None else username
        if request is None or name is None or password is None:
            return super().authenticate(request, username, password, **kwargs)
        address = address_of_request(request)
        within = SIGN_IN.take(address, folded(name)) and (
            not address or SIGN_IN_ADDRESS.take(address)
        )
        if not within:
            raise PermissionDenied  # no other backend is asked
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None:
            SIGN_IN.forget(address, folded(name))
            SIGN_IN_ADDRESS.give_back(address)
        return user


def is_limited(request: HttpRequest, name: str) -> bool:
    """Whether the next attempt of this name from this address will not be tried."""
    address = address_of_request(request)
    return SIGN_IN.is_used_up(address, folded(name)) or (
        bool(address) and SIGN_IN_ADDRESS.is_used_up(address)
    )


def folded(name: str) -> str:
    return get_user_model().normalize_username(name).strip().casefold()
