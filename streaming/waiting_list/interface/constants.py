"""How long, and how many, a waiting list keeps."""

from __future__ import annotations

DONE_LOG_SECONDS = 600
"""Seconds for which the events of an ended response stay readable."""

MAX_ATTEMPTS = 3
"""Maximum claims of one response; after the last it fails instead of returning to the list."""

RECENT_KEPT = 128
"""Maximum finished responses whose lengths and times are kept for forecasts."""

WAITS_KEPT = 256
"""Maximum first claims whose queue times are kept."""

SAMPLES_KEPT = 360
"""Maximum samples of the queue that are kept: an hour, at one every 10 s."""

CLOSED_MESSAGE_CHARS = 300
"""Maximum characters of an operator's message while the queue is closed."""
