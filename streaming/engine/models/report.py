"""Reports what is known of a model before its weights are read: whether it can be served, how, and
if not, all reasons. `local.loading.examination` finds it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streaming.engine.models.layer_kinds import CHUNKED, FULL, NOTHING, SLIDING

LabelledValues = list[tuple[str, str]]
"""Labels with their values, in the order in which they are shown."""

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


def log_lines(report: ModelReport) -> Iterator[str]:
    """Yield the lines for the log of a start."""
    parts = [report.architecture, _layers(report), f"pass: {_pass(report)}", _weights(report)]
    yield f"{report.name}: {'; '.join(filter(None, [*parts, _context(report)]))}."
    if memory := report.memory:
        text = (
            f"Memory: {size(memory.weights)} for the weights, {size(memory.row)} for a row, "
            f"{size(memory.free)} free, which holds {memory.rows_that_fit:,} rows."
        )
        yield f"{text} Not used: {_unused(report)}." if report.unused else text


def sections(report: ModelReport) -> Iterator[tuple[str, LabelledValues]]:
    """Yield the whole report for people: headings, and the values below each."""
    yield "Model", _without_empty([
        ("architecture", _architecture(report)),
        ("layers", "\n".join(each.says for each in report.layers)),
        ("pass", _pass(report)),
        ("context", _context(report) if report.context else ""),
        ("weights", _weights(report)),
        ("quantised", _quantised(report.quantisation)),
        ("adapter", report.adapter),
        ("not loaded", _unused(report)),
    ])  # fmt: skip
    if memory := report.memory:
        yield "Memory", _without_empty([
            ("weights", size(memory.weights)),
            ("a row", f"{size(memory.row)} (keys and values of {report.context:,} tokens)"),
            ("while loading", size(memory.loading)),
            ("in all", f"{size(memory.total)} with {_count(memory.rows, 'row')}"),
            ("free", f"{size(memory.free)} on {report.device}"),
            ("rows that fit", f"{memory.rows_that_fit:,}"),
        ])  # fmt: skip
    if report.sampling:
        yield "Sampling, where nobody asks for something else", _without_empty([
            (name, f"{value:g} ({'its makers' if name in report.makers else 'ours'})")
            for name, value in report.sampling.items()
        ])  # fmt: skip
    if template := report.template:
        yield f"Chat template, {template.source}", _without_empty([
            *template.checks.items(),
            ("thinks", _thinks(template)),
            *((f"thinking: {effort}", how) for effort, how in template.efforts.items()),
            ("ends a turn", ", ".join(template.ends)),
        ])  # fmt: skip


def verdict(report: ModelReport) -> str:
    """Return the result in one sentence."""
    if report.served:
        return f"{report.name} can be served."
    return f"{report.name} cannot be served, for {_count(len(report.faults), 'reason')}."


def size(count: int) -> str:
    """Return a number of bytes as people write it: 1.24 GB, 135 MB, 12 kB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return (
                f"{count / factor:.3g} {unit}"
                if count < 1000 * factor
                else f"{count // factor:,} {unit}"
            )
    return f"{count / 1000:.3g} kB"


def _without_empty(rows: LabelledValues) -> LabelledValues:
    return [(label, value) for label, value in rows if value]


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _architecture(report: ModelReport) -> str:
    told = f"{report.architecture} ({report.model_type})" if report.architecture else ""
    return f"{told}, the language part of {report.part_of}" if report.part_of else told


def _layers(report: ModelReport) -> str:
    return f"layers: {', '.join(each.says for each in report.layers)}" if report.layers else ""


def _pass(report: ModelReport) -> str:
    if report.own_pass:
        return "our own"
    if not report.why_not_own:
        return ""
    return f"transformers', since {report.why_not_own}"


def _context(report: ModelReport) -> str:
    served = f"{report.context:,} tokens of context"
    own = report.own_context
    return served if own in (None, report.context) else f"{served}, of the {own:,} it can read"


def _weights(report: ModelReport) -> str:
    if not report.parameters:
        return ""
    return f"{parameters(report.parameters)} parameters in {report.dtype}"


def parameters(count: int) -> str:
    """Return a number of parameters as people write it: 1.24 B, 135 M."""
    for unit, factor in (("B", 10**9), ("M", 10**6), ("k", 1000)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return str(count)


def _quantised(told: Quantisation | None) -> str:
    if told is None:
        return ""
    if told.lacking:
        return f"{told.method}; pip install {' '.join(told.lacking)}"
    if told.packages:
        return f"{told.method}, read with {', '.join(told.packages)}"
    return told.method


def _unused(report: ModelReport) -> str:
    return ", ".join(f"{reason} ({_count(n, 'tensor')})" for reason, n in report.unused.items())


def _thinks(template: TemplateReport) -> str:
    if not template.thinks:
        return "no"
    return f"yes, in the format {template.thinking}" if template.thinking else "yes"
