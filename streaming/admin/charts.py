"""Charts of the queue over time, for the live queue's page.

They are drawn here alone. The page has them with its first rendering and fetches them again, as
HTML, when there are new samples; a rendering is shared by all who ask within some seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from streaming.admin.chart_drawing import ChartBoard, drawn
from streaming.admin.chart_series import (
    DEFAULT,
    WINDOWS,
    Lines,
    TimeWindow,
    of_record,
    of_samples,
)
from streaming.record import series
from streaming.system.outages import log_fault
from streaming.waiting_list import samples
from streaming.waiting_list.samples import Sample

logger = logging.getLogger(__name__)

COOKIE = "queue_charts"
"""What a browser remembers: `open` or `closed`, a dot, and the key of a window."""

_SHARED_SECONDS = {"5m": 2.0, "1h": 4.0, "24h": 60.0, "7d": 120.0}
"""How long a rendering is shared, by the window's key."""


def remembered(request: HttpRequest) -> ChartBoard:
    """Return the charts as this browser had them last, or as the address says."""
    state, _dot, key = request.COOKIES.get(COOKIE, "").partition(".")
    window = WINDOWS.get(request.GET.get("window", key), DEFAULT)
    if state == "closed" and "window" not in request.GET:
        return ChartBoard(time.time(), window, [], "", open=False)
    return read(window)


_rendered: dict[tuple[str, str], tuple[float, str]] = {}


def view(request: HttpRequest) -> HttpResponse:
    """Answer with the charts of `window` as HTML."""
    if not request.user.has_perm("streaming.view_queue"):
        raise PermissionDenied
    window = WINDOWS.get(request.GET.get("window", ""), DEFAULT)
    key, now = (get_language() or "", window.key), time.monotonic()
    until, html = _rendered.get(key, (0.0, ""))
    if now >= until:
        template = "admin/streaming/response/queue_charts_drawn.html"
        html = render_to_string(template, {"charts": read(window)})
        _rendered[key] = now + _SHARED_SECONDS[window.key], html
    response = HttpResponse(html)
    response["Cache-Control"] = "no-store"
    return response


def read(window: TimeWindow) -> ChartBoard:
    """The charts as they are now. When the channel layer or the record does not answer they are
    empty, and say so."""
    now = time.time()
    try:
        found: list[Sample] = []
        if window.is_sampled:
            layer: Any = get_channel_layer()
            found = async_to_sync(samples.read)(layer.waiting_list)
            now = _newest(found, now)
        width, start = float(window.bin_seconds), window.start(now)
        known = series.read(start, width, window.bins, loads=not window.is_sampled)
    except Exception as error:
        log_fault(logger, error, "What the charts show could not be read.")
        return board([], now, _("The samples could not be read."), window)
    lines = of_record(known, ttft_alone=window.is_sampled)
    if window.is_sampled:
        return board(found, now, window=window, more=lines)
    return drawn(lines, now, window, "" if known.load else _("Nothing is recorded of this time"))


def board(
    found: Sequence[Sample],
    now: float,
    message: str = "",
    window: TimeWindow = DEFAULT,
    more: Lines | None = None,
) -> ChartBoard:
    """Charts of the samples (the oldest first) of the window up to `now`, or up to the newest
    sample where clocks differ, and of `more` lines."""
    now = _newest(found, now)
    recent = [sample for sample in found if sample.at > now - window.span]
    if not message and not recent:
        message = _("No samples yet")
    return drawn({**of_samples(recent), **(more or {})}, now, window, message)


def _newest(found: Sequence[Sample], now: float) -> float:
    return max([now, *(sample.at for sample in found[-1:])])
