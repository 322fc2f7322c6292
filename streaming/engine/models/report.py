"""Reports what is known of a model before its weights are read: whether it can be served, how, and
if not, all reasons. `local.loading.examination` finds it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streaming.engine.models.layer_kinds import CHUNKED, FULL, NOTHING, SLIDING

_KINDS = {
    FULL: "full attention", NOTHING: "keys and values of another layer",
    SLIDING: "sliding attention, the newest {} tokens", CHUNKED: "attention in chunks of {} tokens",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layers:
    """`count` layers of one kind of `layer_kinds`; `window` in tokens, 0: they attend to all."""

    kind: str
    count: int
    window: int = 0

    @property
    def says(self) -> str:
        """Return this in words."""
        return f"{self.count} of {_KINDS.get(self.kind, self.kind).format(f'{self.window:,}')}"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in bytes.

    - `weights`: in the form that is computed with
    - `row`: keys and values of one row of the served context
    - `loading`: what is there only while the model is loaded
    - `total`: all of it for `rows` rows; `free`: what is free on the device
    - `rows_that_fit`: rows that there is memory for beside the weights
    """

    weights: int
    row: int
    loading: int
    rows: int
    total: int
    free: int
    rows_that_fit: int


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """What is known of the chat template.

    - `source`: where it comes from
    - `checks`: what was tried, and what came of it
    - `thinking`: the format of the model's thoughts; empty: it has none
    - `efforts`: how each effort is set
    - `ends`: the tokens that end a turn
    """

    source: str
    checks: Mapping[str, str] = field(default_factory=dict)
    thinks: bool = False
    thinking: str = ""
    efforts: Mapping[str, str] = field(default_factory=dict)
    ends: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Weights of few bits: the method, the packages that it needs, and those that are `lacking`."""

    method: str
    packages: Sequence[str] = ()
    lacking: Sequence[str] = ()


@dataclass(slots=True)
class ModelReport:
    """What is known of a model; what could not be found out has the default.

    - `part_of`: the class of the whole model, if only its language part is served
    - `own_pass`: our own pass runs it; `why_not_own`: why it does not
    - `own_context`, `context`: tokens that the model can read, and that are served
    - `sampling`: the default of each parameter; `makers`: names of those that its makers set
    - `unused`: how many tensors are not loaded, by the reason
    - `faults`: why it cannot be served, in sentences
    """

    name: str
    architecture: str = ""
    model_type: str = ""
    part_of: str = ""
    layers: Sequence[Layers] = ()
    own_pass: bool = False
    why_not_own: str = ""
    own_context: int | None = None
    context: int = 0
    parameters: int = 0
    device: str = ""
    dtype: str = ""
    quantisation: Quantisation | None = None
    adapter: str = ""
    unused: Mapping[str, int] = field(default_factory=dict)
    memory: Memory | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    makers: Sequence[str] = ()
    template: TemplateReport | None = None
    faults: Sequence[str] = ()

    @property
    def served(self) -> bool:
        """Return whether the model can be served."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by the fields' names, for programs."""
        return {**asdict(self), "served": self.served}
