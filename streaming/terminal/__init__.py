"""The terminal client behind `manage.py chat`. It knows the server by its WebSocket only."""
