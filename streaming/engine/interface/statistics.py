"""What an engine says of itself: its model, its steps and its threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

UPSTREAM = "upstream"
"""The device of a model that another server holds."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that an engine serves.

    - `context_tokens`: tokens of a prompt and its answer together; 0 if nobody says.
    - `max_running`: the most responses that the engine can generate concurrently.
    - `capacity`: how many of them it should, by the settings or by what it measured; 0 means
      `max_running`.
    - `parameters`: their number; 0 if nobody says.
    - `sampling`: the defaults for parameters that a request does not set, by their names in
      SamplingParams.
    - `thinks`: whether its answers may begin with a thought.
    - `takes_system`: whether its chat template shows a system message; None if nobody says.
    - `takes_images`, `takes_tools`: whether it can be given images, and tools to call.
    - `completes_text`: whether it goes on with a bare text (`GenerationRequest.raw`).
    """

    name: str
    device: str
    dtype: str
    context_tokens: int
    max_running: int
    parameters: int
    capacity: int = 0
    sampling: Mapping[str, float] = field(default_factory=dict, hash=False)
    thinks: bool = False
    takes_system: bool | None = None
    takes_images: bool = False
    takes_tools: bool = False
    completes_text: bool = False


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did.

    `decoded` are the ids of the responses that advanced by one token, `prefilled` the prompt tokens
    that were read for each id.
    """

    index: int
    decoded: tuple[str, ...]
    prefilled: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ThreadStats:
    """One thread of an engine, by its id of `threading.get_ident`.

    `progress` grows with everything that the thread does. A thread that is `at_work` and whose
    `progress` stands still hangs.
    """

    thread_id: int
    at_work: bool
    progress: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """An engine's counts at one moment.

    - `running`, `pending` (submitted, without a row yet), `free` (rows that can be claimed for)
    - `kv_bytes`: memory set aside for keys and values, 0 before the first prompt; `kv_bytes_used`
      of it hold tokens of running responses
    - `tokens_per_second`: generated over the last 10 s
    - `at_work`, `progress`, `thread_id`: of the thread that steps, as in ThreadStats; `progress`
      grows several times in a step, `thread_id` is 0 before there is a thread
    - `preparing`: the threads that make prompts for it
    """

    running: int
    pending: int
    free: int
    steps: int
    generated_tokens: int
    alive: bool
    kv_bytes: int = 0
    kv_bytes_used: int = 0
    tokens_per_second: float = 0.0
    at_work: bool = False
    progress: int = 0
    thread_id: int = 0
    preparing: tuple[ThreadStats, ...] = ()
