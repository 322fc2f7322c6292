"""Outages of the database or the channel layer: which errors mean one, and how they are logged."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, OperationalError
from redis.exceptions import RedisError

LAYER_AWAY = (RedisError, OSError)
"""Errors of the channel layer when it is away."""

AWAY = (DatabaseError, *LAYER_AWAY)
"""Errors of the layer or the database when it is away; the work that met them is not to blame."""

_PLAIN = (OperationalError, InterfaceError, *LAYER_AWAY)


def log_fault(logger: logging.Logger, error: Exception, message: str, *args: object) -> None:
    """Log a fault that is outlived: in a line if something is away, else with a traceback.

    Everything that tries again logs an outage every second; the operator needs to read what is
    away, not where in our code it was missed.
    """
    if isinstance(error, _PLAIN):
        logger.warning(f"{message} (%s: %s)", *args, type(error).__name__, error)
    else:
        logger.error(message, *args, exc_info=error)
