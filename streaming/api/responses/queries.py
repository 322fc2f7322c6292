"""The parameters in the addresses of `/v1/responses`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from streaming.api.responses.requests import Include
from streaming.protocol.base import MOST_SEQUENCE


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class ResponseQuery(_Query):
    """How a response is read."""

    stream: bool = False
    starting_after: int | None = Field(None, ge=0, le=MOST_SEQUENCE)
    include_obfuscation: bool | None = None
    include: Include = Field(None, alias="include", max_length=20)
    include_list: Include = Field(None, alias="include[]", max_length=20)

    @property
    def included(self) -> tuple[str, ...]:
        """Return what is to be included, by either of the two names that clients use."""
        return (*(self.include or ()), *(self.include_list or ()))


class ItemsQuery(_Query):
    """Which items are listed."""

    limit: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = Field(None, max_length=200)
    include: Include = Field(None, max_length=20)
    include_list: Include = Field(None, alias="include[]", max_length=20)
