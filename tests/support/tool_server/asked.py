"""What a model is asked, in whichever words it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class BadRequest(Exception):
    """A request that is answered with 400; `param` is the field that is wrong."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


@dataclass(frozen=True)
class Call:
    """A call of a tool; `arguments` is JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Turn:
    """One message: its text, its images (their URLs), its calls; of a tool's, the call's id."""

    role: str
    text: str = ""
    images: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    call_id: str = ""


@dataclass(frozen=True)
class Asked:
    """One request.

    - `tools`: each tool's schema of parameters, by its name
    - `choice`: `auto`, `none`, `required`, or the name of a tool
    - `schema`: of the answer's form; None: free text, an empty one: any JSON object
    - `goes_on`: the last turn is the beginning of the answer
    - `top_logprobs`: None: none are wanted
    """

    turns: tuple[Turn, ...]
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    choice: str = "auto"
    parallel: bool = True
    schema: Mapping[str, Any] | None = None
    thinks: bool = False
    goes_on: bool = False
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Said:
    """One part of an answer: `kind` is `reasoning`, `text`, `refusal` or `call`."""

    kind: str
    text: str = ""
    call: Call | None = None
