"""Whether tests that can be longer are to be: all of what a usual run tries a part of."""

from __future__ import annotations

import os

IS_LONG = os.environ.get("CHATSTREAM_TEST_LONG") == "1"
