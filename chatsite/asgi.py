"""The ASGI application: HTTP by Django, `/ws/` by Channels.

It never starts a worker: `serve` and `runserver` do, since stock `runworker` imports this too.
It only makes sure that its Redis can be used, for servers that know no command of ours.
"""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
django_application = get_asgi_application()  # loads the apps, which the imports below need

from streaming.deployment.starting import check_redis_at_import  # noqa: E402
from streaming.sockets.origin import OriginValidator  # noqa: E402
from streaming.sockets.routing import websocket_urlpatterns  # noqa: E402

check_redis_at_import()

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": OriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
