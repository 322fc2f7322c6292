"""Asks the Sentinels of an address for the present master."""

from __future__ import annotations

import contextlib
from typing import Any

from redis.exceptions import AuthenticationError, ResponseError

from streaming.waiting_list.redis.address import RedisAddress, places
from streaming.waiting_list.redis.reasons import RedisAway, explained, refusal


def find_master(address: RedisAddress) -> tuple[str, int]:
    """Return host and port of the present master.

    Raises RedisAway if no Sentinel answers, RedisRefused if none knows a master of that name.
    """
    known: set[str] = set()
    asked = 0
    for place in address.sentinels:
        try:
            masters = _masters(address, place)
        except RedisAway:
            continue
        asked += 1
        known |= masters.keys()
        if state := masters.get(address.master):
            return str(state["ip"]), int(state["port"])
    if not asked:
        raise RedisAway(f"None of the Sentinels {places(address.sentinels)} answers.")
    names = ", ".join(sorted(known)) or "none"
    reason = f"its Sentinels know no master of that name; those they know: {names}"
    raise refusal(address, reason)


def _masters(address: RedisAddress, place: tuple[str, int]) -> dict[str, Any]:
    options = {name: value for name, value in address.sentinel_options.items() if name != "ssl"}
    sentinel = RedisAddress({"host": place[0], "port": place[1], **options}, address.is_tls)
    where = places([place])
    with explained(sentinel):
        try:
            with contextlib.closing(sentinel.blocking_client()) as client:
                masters: Any = client.sentinel_masters()
                return dict(masters)
        except AuthenticationError as error:
            reason = f"the Sentinel {where} does not accept the login ({error}); it is given by "
            reason += "?sentinel_username= and ?sentinel_password=, the other one is the master's"
            raise refusal(address, reason) from None
        except ResponseError as error:
            if "unknown command" not in str(error).lower():
                raise
            reason = f"{where} is no Sentinel but a server; its own address is redis://"
            raise refusal(address, reason) from None
