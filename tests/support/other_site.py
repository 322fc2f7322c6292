"""The settings and the application of a project that is not ours, but has the app in it."""

from __future__ import annotations

import os
from typing import Any

from chatsite.settings import *  # noqa: F403

del globals()["REDIS_URL"]  # a name of our own project's

ASGI_APPLICATION = os.environ.get("OTHER_APPLICATION", "tests.support.other_site.application")


async def application(scope: Any, receive: Any, send: Any) -> None:
    from chatsite.asgi import application as site

    async def send_with_name(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-site", b"another")]}
        await send(message)

    await site(scope, receive, send_with_name)
