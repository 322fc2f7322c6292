"""`/v1/responses`: Open Responses over HTTP and server-sent events."""
