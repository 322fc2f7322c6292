"""Who asks: the account of an API key or, where that is allowed, a client address.

Session cookies count for nothing here, so that no other site's page can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from ninja.security.http import HttpAuthBase

from streaming import conf
from streaming.api.errors import ApiError
from streaming.identity import keys, owners
from streaming.record.database import in_database
from streaming.record.tasks import Requester

ANONYMOUS = "anonymous"
"""What may stand for no key, as any word that is not like a key of ours may: the official client
refuses to start without one."""

_NEEDED = (
    "An API key of this server is needed here. It begins with `cs-`; an account makes one on its "
    "account page, an operator in the admin. Send it as `Authorization: Bearer cs-...`."
)
_UNKNOWN = (
    "The API key is unknown, mistyped or revoked. Make a new one on the account page, and send it "
    "as `Authorization: Bearer cs-...`."
)

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="ChatStream"'}


class ApiKeyAuth(HttpAuthBase):
    """`Authorization: Bearer <key>`. The `Requester` is the request's `auth`."""

    openapi_scheme = "bearer"
    openapi_description = (
        "A key made on the site's API keys page, in the admin, or by `manage.py createapikey`; it "
        f"begins with `{keys.PREFIX}`. A server that allows anonymous use also serves requests "
        f"without one, or with any other word for it (`{ANONYMOUS}`, `EMPTY`, `sk-...`); their "
        "place in the queue belongs to the client's address."
    )

    async def __call__(self, request: HttpRequest) -> Requester:
        return await self.authenticate(request)

    async def authenticate(self, request: HttpRequest) -> Requester:
        """Return whom the key belongs to, or an address. Raises ApiError 401."""
        return await requester_of(request.scope)  # type: ignore[attr-defined]  # under ASGI only


async def requester_of(scope: Mapping[str, Any]) -> Requester:
    """Return whom the key in a connection's headers belongs to, or an address. Raises ApiError
    401."""
    settings = conf.get()
    address = owners.client_address(dict(scope), settings.trusted_proxies)
    if secret := owners.key_in(scope["headers"]):
        user = await in_database(keys.user_of)(secret)
        if user is None:
            raise ApiError(401, "invalid_api_key", _UNKNOWN, headers=_CHALLENGE)
        return Requester(owners.owner_of_user(user), user, address)
    if not settings.anonymous:
        raise ApiError(401, "invalid_api_key", _NEEDED, headers=_CHALLENGE)
    # Whatever word stands for a key: the bounds of an address hold for all of them together.
    return Requester(f"address:{address}", None, address)
