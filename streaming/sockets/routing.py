"""The WebSocket addresses."""

from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from streaming.sockets.chat_consumer import ChatConsumer
from streaming.sockets.queue_consumer import QueueConsumer

websocket_urlpatterns = [
    path("ws/chat/", ChatConsumer.as_asgi()),
    path("ws/queue/", QueueConsumer.as_asgi()),
    re_path("", WebsocketDenier.as_asgi()),  # Channels itself would log a traceback
]
