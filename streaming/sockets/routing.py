"""The WebSocket addresses."""

from typing import Any

from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from streaming.sockets.chat_consumer import ChatConsumer
from streaming.sockets.queue_consumer import QueueConsumer


async def responses(scope: Any, receive: Any, send: Any) -> Any:
    """Serve `/v1/responses`; what it takes to read its requests is loaded when it is used."""
    from streaming.sockets.responses.consumer import ResponsesConsumer

    return await ResponsesConsumer.as_asgi()(scope, receive, send)


websocket_urlpatterns = [
    path("v1/responses", responses),
    path("ws/chat/", ChatConsumer.as_asgi()),
    path("ws/queue/", QueueConsumer.as_asgi()),
    re_path("", WebsocketDenier.as_asgi()),  # Channels itself would log a traceback
]
