"""How often somebody may try: counts in Django's cache, each for a fixed time.

The default cache is each process's own memory, so that several web processes allow several
times as much; a shared cache (`CACHES`) makes one bound of it.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass

from django.core.cache import cache


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `bound` attempts in `seconds`, counted from the first one."""

    name: str
    bound: int
    seconds: int

    def take(self, *who: str) -> bool:
        """Count an attempt; False if it is one too many. Counted before it is tried, so that
        attempts made at once do not all get in."""
        key = self._key(who)
        cache.add(key, 0, self.seconds)
        try:
            return int(cache.incr(key)) <= self.bound
        except ValueError:  # it expired between the two
            cache.set(key, 1, self.seconds)
            return True

    def is_used_up(self, *who: str) -> bool:
        return int(cache.get(self._key(who), 0)) >= self.bound

    def give_back(self, *who: str) -> None:
        """The attempt is not to count after all."""
        with contextlib.suppress(ValueError):  # it expired
            cache.decr(self._key(who))

    def forget(self, *who: str) -> None:
        cache.delete(self._key(who))

    def _key(self, who: tuple[str, ...]) -> str:
        # Names are people's words, of any length and with any character.
        digest = hashlib.sha256("\0".join(who).encode("utf-8", "replace")).hexdigest()
        return f"streaming.limit:{self.name}:{digest}"


SIGN_IN = Limit("sign_in", bound=5, seconds=5 * 60)
"""Failed attempts with one name from one address."""

SIGN_IN_ADDRESS = Limit("sign_in_address", bound=50, seconds=5 * 60)
"""Failed attempts from one address, all names together."""

SIGN_UP = Limit("sign_up", bound=30, seconds=60 * 60)
"""Sign-up forms sent from one address: they also tell which names are taken."""
