"""The terminal client behind `manage.py chat`. Knows the server by its WebSocket only."""
