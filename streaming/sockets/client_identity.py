"""Whose a chat socket is: an account or a visitor, and the address it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User

from streaming import conf
from streaming.identity import keys, owners, sessions, visitors
from streaming.protocol.errors import ProtocolError
from streaming.record.database import in_database
from streaming.record.tasks import Requester
from streaming.sockets.guard import Credentials


class ClientIdentity:
    """The client of one socket.

    `user` is its account, None for a visitor. `owner` is whom its responses belong to. `address`
    is empty where none is known.
    """

    def __init__(self, scope: Mapping[str, Any], user: User | None, visitor: str | None) -> None:
        self.user = user
        self.owner = (
            owners.owner_of_user(user)
            if user
            else owners.owner_of_visitor(visitor or visitors.new_id())
        )
        self.address = owners.client_address(dict(scope), conf.get().trusted_proxies)
        self._scope = scope
        self._visitor = visitor  # by its cookies; None for one that has just come
        self._resumed: str | None = None  # the visitor of a session token, in place of that one

    @classmethod
    async def of(cls, scope: Mapping[str, Any]) -> ClientIdentity:
        """Return the client of a connection. Raises ProtocolError (`login_required`) for an
        invalid API key, and for a visitor where an account is needed."""
        user = await _account_of(scope)
        return cls(scope, user, None if user else await owners.visitor_of_socket(scope))

    @property
    def credentials(self) -> Credentials:
        """Return what the guard checks."""
        return Credentials.of(self._scope, self.user, self._resumed or self._visitor)

    @property
    def session_token(self) -> str | None:
        """Return the token with which a later socket becomes this visitor; None for an account."""
        return None if self.user else owners.visitor_token(self.owner)

    @property
    def requester(self) -> Requester:
        """Return whom the client's responses are for."""
        in_session = (
            self.user is not None
            and owners.key_in(self._scope["headers"]) is None
            and sessions.are_noted()
        )
        return Requester(self.owner, self.user, self.address, in_session)

    def counted_as(self, owner: str) -> tuple[str, ...]:
        """Return the keys under which the socket counts as an owner's, and as its address's."""
        return (f"owner:{owner}", *([f"address:{self.address}"] if self.address else []))

    async def check(self) -> None:
        """Look up the client afresh. Raises ProtocolError (`login_required`, `session_changed`) if
        it has signed in or out, or its API key was revoked."""
        if owners.key_in(self._scope["headers"]) is not None:
            same = await _account_of(self._scope) == self.user
        else:
            same = await owners.is_current(self._scope, self.user, self._visitor)
            if self._resumed and same:
                same = not await in_database(visitors.is_merged)(self._resumed)
        if not same:
            raise ProtocolError("session_changed", "Your session has changed; connect again.")

    async def owner_of(self, session_token: str) -> str:
        """Return the visitor that a token was made for, as an owner. Raises ProtocolError if this
        client has an account, or the token is not valid."""
        if self.user is not None:
            raise ProtocolError("invalid_event", "A signed-in socket has its account already.")
        owner = owners.owner_of_token(session_token)
        visitor = owners.visitor_of(owner) if owner else None
        if owner is None or await in_database(visitors.is_merged)(visitor):
            raise ProtocolError(
                "forbidden", "The session token is not valid any more.", "session_token"
            )
        return owner

    def become(self, owner: str) -> None:
        """Be the visitor of a session token from now on."""
        self.owner, self._resumed = owner, owners.visitor_of(owner)


async def _account_of(scope: Mapping[str, Any]) -> User | None:
    """Return the account of the API key or of the session, None for a visitor. Raises ProtocolError
    (`login_required`)."""
    secret = owners.key_in(scope["headers"])
    if secret is not None:
        of_key: User | None = await in_database(keys.user_of)(secret)
        if of_key is None:
            raise ProtocolError("login_required", "The API key is unknown or revoked.")
        return of_key
    user: User = scope["user"]
    if user.is_authenticated:
        return user
    if not conf.get().anonymous:
        message = (
            "Sign in to chat here; a program sends the API key of an account, "
            "`Authorization: Bearer cs-...`."
        )
        raise ProtocolError("login_required", message)
    return None
