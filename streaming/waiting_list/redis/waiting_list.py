"""The waiting list that many processes share: one Lua script per operation, by Redis's clock.

`lua/prelude.lua` names the keys. A call that changes something and must not be done twice carries
a nonce, so that redis-py may repeat it when a broken connection has lost the answer.
"""

from __future__ import annotations

from streaming.waiting_list.interface import WaitingList
from streaming.waiting_list.redis.accepting import RedisAccepting
from streaming.waiting_list.redis.leasing import RedisLeasing
from streaming.waiting_list.redis.operating import RedisOperating
from streaming.waiting_list.redis.watching import RedisWatching


class RedisWaitingList(RedisAccepting, RedisLeasing, RedisWatching, RedisOperating, WaitingList):
    """The four roles over one `RedisStore`, whose arguments it takes."""
