"""How long and how much every waiting list keeps."""

from __future__ import annotations

DONE_LOG_SECONDS = 600
"""Seconds for which the events of an ended response stay readable."""

MAX_ATTEMPTS = 3
"""Claims of one response before it is failed rather than returned to the list."""

RECENT_KEPT = 128
"""Finished responses whose lengths and times are kept for forecasts."""

WAITS_KEPT = 256
"""First claims whose queue times are kept."""

SAMPLES_KEPT = 360
"""Samples of the queue that are kept: an hour, at one every 10 s."""

CLOSED_MESSAGE_CHARS = 300
"""Maximum characters of an operator's message while the queue is closed."""
