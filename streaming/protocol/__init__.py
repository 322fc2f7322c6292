"""What goes over the WebSocket: events, their validation, the AsyncAPI document.

Knows neither Django nor sockets, neither the record nor the waiting list.
"""
