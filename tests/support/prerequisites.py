"""Prerequisites that a laptop may lack and CI may not."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip for want of a prerequisite; fail where all are required (CHATSTREAM_REQUIRE_ALL=1)."""
    if os.environ.get("CHATSTREAM_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
