"""Names of what a server says and nobody here knows: each is told to the operator once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

logger = logging.getLogger("streaming.engine.upstream")

_MOST = 50
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,60}")


class UnknownNames:
    """Logs each name once, 50 at most, and none that is made of other than letters and digits."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def note(self, where: str, names: Iterable[object]) -> None:
        """Take note of names of fields or events that are not passed on; `where` they stand is in
        our own words."""
        for name in names:
            text = str(name)
            told = f"{where} {text if _NAME.fullmatch(text) else '(with an odd name)'}"
            if told in self._told or len(self._told) >= _MOST:
                continue
            self._told.add(told)
            logger.warning("The model's server says what is not passed on: %s.", told)
