"""The codes with which the server closes a WebSocket."""

GOING_AWAY = 1001
LOGIN_REQUIRED = 4401
FORBIDDEN = 4403
SESSION_CHANGED = 4409
TOO_MANY = 4429
UNAVAILABLE = 4503

OTHER_VERSION = FORBIDDEN
"""Of a client that speaks another version of the protocol. Those of version 1 come back after any
other code, and know no code of their own for this."""

OF_ERRORS = {
    "login_required": LOGIN_REQUIRED,
    "session_changed": SESSION_CHANGED,
    "unsupported_version": OTHER_VERSION,
}
"""By error code: the errors after which no event of a socket can be served."""
