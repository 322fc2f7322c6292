"""The Django project that `serve` runs: settings, ASGI application, addresses. Has no features."""
