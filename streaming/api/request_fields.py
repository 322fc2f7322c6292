"""The fields that the requests of all completions have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from streaming.protocol.base import Text
from streaming.protocol.sampling_params import MOST_STOPS, Params


def _as_stops(value: object) -> object:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


_STOP = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 100},
        {"type": "array", "items": {"type": "string"}, "maxItems": MOST_STOPS},
        {"type": "null"},
    ],
    "description": "The answer ends before any of these texts.",
}


class StreamOptions(BaseModel):
    """Options of a stream, as OpenAI's."""

    model_config = ConfigDict(frozen=True)

    include_usage: bool | None = Field(
        None, description="Send `usage` in a chunk of its own, with empty `choices`, at the end."
    )


class CompletionFields(Params):
    """What a request for any completion says: of which model, how sampled, in which form."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    model: str = Field(
        min_length=1, max_length=200, description="An id from `/v1/models`, or `default`."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=100)]],
        BeforeValidator(_as_stops),
        WithJsonSchema(_STOP),
    ] = Field(default_factory=list, max_length=MOST_STOPS)

    @property
    def include_usage(self) -> bool:
        """Return whether the stream ends with a chunk of its own for the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


def refuse(data: Any, only: Mapping[str, tuple[object, ...]]) -> Any:
    """Return a request's fields. Raises PydanticCustomError for one with a value that is not among
    those which `only` names."""
    if isinstance(data, dict):
        for name, allowed in only.items():
            if name in data and data[name] not in allowed:
                raise PydanticCustomError(
                    "unsupported_parameter",
                    "`{param}` is not supported here.",
                    {"param": name},
                )
    return data
