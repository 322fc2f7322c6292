"""What all models of the wire share: strictness, the version, the kinds of text and number."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

PROTOCOL_VERSION = 2

MOST_SEQUENCE = 10**12
"""Greatest `sequence_number` of an event. The scripts in Redis count exactly up to 10**14."""


class WireModel(BaseModel):
    """A JSON object of the wire: immutable, without unknown fields, infinities and NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the character U+0000 is not allowed")
    return text


Text = Annotated[str, AfterValidator(_no_nul)]
"""Text without U+0000, which PostgreSQL does not store."""
