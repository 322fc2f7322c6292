"""What every process makes sure of before it serves: that its Redis can hold the waiting list, and
that the list is no other site's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.redis import checks
from streaming.waiting_list.redis.prefix import claim_prefix
from streaming.waiting_list.redis.reasons import RedisAway, RedisRefused

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0

_is_checked = False


def has_redis() -> bool:
    """Return whether the waiting list lies in Redis, so that several processes share it."""
    return isinstance(get_channel_layer(), RedisChannelLayer)


def check_redis() -> bool:
    """Check that Redis can hold the waiting list, and that it is this site's.

    Return False if Redis (or the database) is away, so that nobody knows yet. A channel layer
    without Redis is well. What is unwise is logged. Raises RedisRefused.
    """
    global _is_checked
    _is_checked = True
    return _check(is_told=False)


def _check(*, is_told: bool) -> bool:
    layer = get_channel_layer()
    if not isinstance(layer, RedisChannelLayer):
        return True
    try:
        unwise = checks.check(layer.address, layer.prefix)
        if layer.site is not None:
            site_id = async_to_sync(layer.site)()
            claim_prefix(layer.address, layer.prefix, site_id)
    except (RedisAway, DatabaseError) as error:
        if not is_told:
            logger.warning("Not everything is there yet; trying again. (%s)", error)
        return False
    for sentence in unwise:
        logger.warning(sentence)
    return True


def wait_for_redis() -> None:
    """Check, again and again, until all is well. Raises RedisRefused."""
    is_well = check_redis()
    while not is_well:
        time.sleep(_AGAIN_SECONDS)
        is_well = _check(is_told=True)


def check_redis_later(on_refused: Callable[[str], None]) -> None:
    """Check, in a thread, until all is well; a refusal is logged, and `on_refused` is called."""

    def ask() -> None:
        try:
            while not _check(is_told=True):
                connections.close_all()
                time.sleep(_AGAIN_SECONDS)
        except RedisRefused as refused:
            logger.critical("%s", refused)
            on_refused(str(refused))
        finally:
            connections.close_all()

    threading.Thread(target=ask, name="chatstream-redis", daemon=True).start()


def check_redis_at_import() -> None:
    """Check for a server that only imports the application, unless its command has done so. Raises
    ImproperlyConfigured.

    It runs in a thread, for such a server may import the application on its event loop.
    """
    if _is_checked:
        return

    def ask() -> bool:
        try:
            return check_redis()
        finally:
            connections.close_all()

    try:
        with ThreadPoolExecutor(1) as pool:
            is_well = pool.submit(ask).result()
    except RedisRefused as refused:
        raise ImproperlyConfigured(str(refused)) from None
    if not is_well:
        check_redis_later(lambda sentence: None)
