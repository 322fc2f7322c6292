"""The WebSocket at `/v1/responses`: one response at a time, in the words of `/v1/`."""
