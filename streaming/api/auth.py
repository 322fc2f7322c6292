"""Who asks: the account of an API key or, where that is allowed, a client address.

Session cookies count for nothing here, so that no other site's page can use them.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security.http import HttpAuthBase

from streaming import conf, keys, owners
from streaming.api.errors import ApiError
from streaming.database import in_database

ANONYMOUS = "anonymous"
"""What stands for no key: the official client refuses to start without one."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="ChatStream"'}


@dataclass(frozen=True, slots=True)
class Client:
    """`owner` as in the waiting list; `user` None for who has no key."""

    owner: str
    user: User | None
    address: str


class ApiKeyAuth(HttpAuthBase):
    """`Authorization: Bearer <key>`. The authenticated `Client` is the request's `auth`."""

    openapi_scheme = "bearer"
    openapi_description = (
        "A key made on the site's API keys page, in the admin, or by `manage.py createapikey`. "
        "A server that allows anonymous use also serves requests without one, or with the word "
        f"`{ANONYMOUS}` for it; their place in the queue belongs to the client's address."
    )

    async def __call__(self, request: HttpRequest) -> Client:
        return await self.authenticate(request)

    async def authenticate(self, request: HttpRequest) -> Client:
        """Raises ApiError 401."""
        settings = conf.get()
        scope = request.scope  # type: ignore[attr-defined]  # this site runs under ASGI only
        address = owners.client_address(scope, settings.trusted_proxies)
        secret = _secret(request)
        if secret:
            user = await in_database(keys.user_of)(secret)
            if user is None:
                message = "The API key is unknown or revoked."
                raise ApiError(401, "invalid_api_key", message, headers=_CHALLENGE)
            return Client(owners.owner_of_user(user), user, address)
        if not settings.anonymous:
            message = "An API key is needed here: send `Authorization: Bearer <key>`."
            raise ApiError(401, "invalid_api_key", message, headers=_CHALLENGE)
        return Client(f"address:{address}", None, address)


def _secret(request: HttpRequest) -> str:
    """The key; empty without one, which some clients can only say by an empty text or a word."""
    header: str = request.headers.get("Authorization", "").strip()
    scheme, _, secret = header.partition(" ")
    if scheme and scheme.lower() != "bearer":
        message = "The API key goes into the header `Authorization: Bearer <key>`."
        raise ApiError(401, "invalid_api_key", message, headers=_CHALLENGE)
    secret = secret.strip()
    return "" if secret == ANONYMOUS else secret
