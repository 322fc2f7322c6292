"""The WebSocket addresses."""

from django.urls import path

from streaming.consumers import ChatConsumer, QueueConsumer

websocket_urlpatterns = [
    path("ws/chat/", ChatConsumer.as_asgi()),
    path("ws/queue/", QueueConsumer.as_asgi()),
]
