"""Limits on attempts, such as sign-ins: counts in the record, each for a fixed time."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F
from django.utils import timezone

from streaming.models import Attempts
from streaming.record import allowance


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `bound` attempts in `seconds`, counted from the first one.

    Every method raises DatabaseError while the database is away.
    """

    name: str
    bound: int
    seconds: int

    def take(self, *who: str) -> bool:
        """Count an attempt; return whether it is within the bound.

        Call it before the attempt, so that concurrent attempts do not all get through.
        """
        return allowance.take(self.name, *who, most=self.bound, seconds=self.seconds)

    def is_used_up(self, *who: str) -> bool:
        """Return whether the next `take` will return False."""
        own = Attempts.objects.filter(key=self._key(who))
        return own.filter(until__gt=timezone.now(), count__gte=self.bound).exists()

    def give_back(self, *who: str) -> None:
        """Take back the count of an attempt."""
        own = Attempts.objects.filter(key=self._key(who))
        own.filter(count__gt=0).update(count=F("count") - 1)

    def forget(self, *who: str) -> None:
        """Delete the count of these."""
        Attempts.objects.filter(key=self._key(who)).delete()

    def _key(self, who: tuple[str, ...]) -> str:
        return allowance.key_of(self.name, *who)


SIGN_IN = Limit("sign_in", bound=5, seconds=5 * 60)
"""Failed attempts with one name from one address."""

SIGN_IN_ADDRESS = Limit("sign_in_address", bound=50, seconds=5 * 60)
"""Failed attempts from one address, all names together."""

SIGN_UP = Limit("sign_up", bound=30, seconds=60 * 60)
"""Sign-up forms sent from one address: they also tell which names are taken."""
