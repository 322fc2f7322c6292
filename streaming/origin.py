"""Who may open a WebSocket: browsers from our own hosts, and programs without cookies."""

from __future__ import annotations

from typing import Any

from channels.security.websocket import AllowedHostsOriginValidator


class OriginValidator:
    """`AllowedHostsOriginValidator`, but a handshake with neither Origin nor Cookie passes.

    A browser always sends Origin, so a cross-site page cannot use a visitor's cookie; a
    program sends neither and is nobody until it shows a token.
    """

    def __init__(self, application: Any) -> None:
        self.application = application
        self.from_allowed_hosts = AllowedHostsOriginValidator(application)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        names = {name for name, _ in scope["headers"]}
        if names.isdisjoint({b"origin", b"cookie"}):
            return await self.application(scope, receive, send)
        return await self.from_allowed_hosts(scope, receive, send)
