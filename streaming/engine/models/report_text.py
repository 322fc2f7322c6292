"""Tells a ModelReport to people: in the log, and by `manage.py checkmodel`."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.engine.models.report import ModelReport, Quantisation, TemplateReport

LabelledValues = list[tuple[str, str]]
"""Labels with their values, in the order in which they are shown."""


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
