"""A model's own sampling parameters: those of its `generation_config.json`."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from streaming.engine.base import SamplingParams

logger = logging.getLogger("streaming.engine")

_FILE = "generation_config.json"
_MOST_BYTES = 1_000_000

_RANGES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: value >= 0, "a number from 0"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "top_k": (lambda value: value >= -1 and value == int(value), "a whole number from 0"),
    "repetition_penalty": (lambda value: value > 0, "a number above 0"),
}

DEFAULTS: Mapping[str, float] = {
    field.name: field.default  # type: ignore[misc]  # which are numbers
    for field in fields(SamplingParams)
    if field.name in _RANGES
}
"""Parameters that neither the request nor the model's makers set."""


def own_sampling(folder: Path) -> dict[str, float]:
    """Return the defaults of the model in a folder: its makers' parameters, and DEFAULTS where they
    set none."""
    return {**DEFAULTS, **makers_sampling(folder)}


def makers_sampling(folder: Path) -> dict[str, float]:
    """Return the parameters that the makers of the model in a folder set.

    `do_sample` false is a temperature of 0. A value out of range, and a file that cannot be read,
    are ignored with a warning.
    """
    said = _said(folder / _FILE)
    found: dict[str, float] = {}
    for name, (is_allowed, range_) in _RANGES.items():
        value = said.get(name)
        if value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not is_allowed(value):
            logger.warning("%s has %s %.100r, and it must be %s.", _FILE, name, value, range_)
        elif name == "top_k":
            found[name] = max(0, int(value))  # -1 is none, too
        else:
            found[name] = float(value)
    if said.get("do_sample") is False:
        found["temperature"] = 0.0
    if isinstance(said.get("min_p"), int | float) and said["min_p"] > 0:
        logger.info("The model's makers also say min_p=%s, which is not known here.", said["min_p"])
    return found


def resolved(params: SamplingParams, own: Mapping[str, float]) -> SamplingParams:
    """Return the parameters with the model's `own` in place of those that the request did not set.
    To resolve them again changes nothing."""
    if params.asked is None:
        return params
    changes: dict[str, Any] = {
        name: value for name, value in own.items() if name not in params.asked
    }
    return replace(params, **changes)


def _said(path: Path) -> Mapping[str, Any]:
    try:
        if not path.exists():
            return {}
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        said = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(said, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s is not taken notice of: %s", path.name, error)
        return {}
    return said
