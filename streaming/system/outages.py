"""The database or the channel layer is away for a moment: what tells it, and how it is logged."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, OperationalError
from redis.exceptions import RedisError

LAYER_AWAY = (RedisError, OSError)
"""What the channel layer raises when it is away."""

AWAY = (DatabaseError, *LAYER_AWAY)
"""The same of the layer or the database; whose work it was is not to blame."""

_PLAIN = (OperationalError, InterfaceError, *LAYER_AWAY)


def log_fault(logger: logging.Logger, error: Exception, message: str, *args: object) -> None:
    """Log a fault that is outlived: a line while something is away, a traceback for all else.

    An outage of a minute is told every second by everything that tries again; the operator needs
    to read what is away, not where in our code it was missed.
    """
    if isinstance(error, _PLAIN):
        logger.warning(f"{message} (%s: %s)", *args, type(error).__name__, error)
    else:
        logger.error(message, *args, exc_info=error)
