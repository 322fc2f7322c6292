"""Finds out from headers alone whether a model can be served and what it needs: before every load,
and for whoever asks. Which checks there are, and in which order, is decided here only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from streaming.engine.faults import Faults
from streaming.engine.local.forward.packed import Packed
from streaming.engine.local.forward.precision import AUTO, choose_precision
from streaming.engine.local.forward.weights import Shape, end_ids_of, parameters_of
from streaming.engine.local.loading.capacity import free_memory, kept_row_bytes, row_bytes
from streaming.engine.local.loading.checkpoint import Checkpoint, open_checkpoint
from streaming.engine.local.loading.memory_need import (
    ALWAYS,
    MemoryNeed,
    int8_helps,
    refuse_unless_it_fits,
)
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.models.architecture import misfit
from streaming.engine.models.hub_headers import HubHeaders
from streaming.engine.models.layer_kinds import FULL, SLIDING, layer_kinds
from streaming.engine.models.own_sampling import DEFAULTS, makers_sampling
from streaming.engine.models.quantised import becomes_plain, method_of, packages_of
from streaming.engine.models.report import (
    Layers,
    Memory,
    ModelReport,
    Quantisation,
    TemplateReport,
)
from streaming.engine.models.store import ModelFolder
from streaming.engine.models.support import Support, open_tokenizer, support_of
from streaming.engine.templates.choice import of_processor
from streaming.engine.templates.traits import EffortSwitch, Traits


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be served, and how; the fields are the arguments of LocalEngine. `template` is the
    source of a chat template that replaces the model's own."""

    folder: ModelFolder
    device: torch.device
    dtype: str = AUTO
    rows: int = 1
    context_tokens: int | None = None
    adapter: Path | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found out. `prompts` and `checkpoint` are None if there are faults in them."""

    report: ModelReport
    prompts: PromptBuilder | None
    checkpoint: Checkpoint | None


def examine(
    asked: Asked, faults: Faults, load_tokenizer: Callable[[], Any] | None = None
) -> Examined:
    """Find out what is known of a model without its weights.

    Reasons why it cannot be served are added to `faults`, and to the report. `load_tokenizer`
    replaces transformers' AutoTokenizer. Raises the first one if `faults` are strict.
    """
    folder = asked.folder.path
    report = ModelReport(asked.folder.display_name, device=str(asked.device))
    support = support_of(folder, asked.context_tokens, asked.adapter, faults)
    report.context = support.context
    makers = makers_sampling(folder)
    report.sampling, report.makers = {**DEFAULTS, **makers}, list(makers)
    prompts = None
    with faults.noted():
        tokenizer = open_tokenizer(folder, load_tokenizer, has_template=asked.template is not None)
        prompts = prompts_of(asked, tokenizer)
        prompts.template.check()
    checkpoint = None
    if support.config is not None:
        own = _describe(report, support)
        with faults.noted():
            checkpoint = _opened(asked, report, support, faults, packable=own)
    if prompts:
        with faults.noted():
            report.template = _template(asked, prompts, checkpoint)
    report.faults = [str(error) for error in faults.found]
    return Examined(report, prompts, checkpoint)


def prompts_of(asked: Asked, tokenizer: Any) -> PromptBuilder:
    """Return what makes prompts of conversations. Raises EngineError if there is no chat
    template."""
    template = asked.template
    if template is None and not tokenizer.chat_template:
        template = of_processor(asked.folder.path)
    return PromptBuilder(tokenizer, template)


def report_on_kept(asked: Asked, packed: Packed, need: MemoryNeed) -> ModelReport:
    """Return the report on a model whose packed pass an earlier start has kept: it was examined
    then."""
    shape = packed.shape
    return ModelReport(
        asked.folder.display_name, own_pass=True, context=packed.context,
        layers=_kept_layers(shape), parameters=shape.parameters,
        device=str(asked.device), dtype="int8",
        memory=_memory(need, kept_row_bytes(shape, torch.float16, packed.context), asked.device),
    )  # fmt: skip


def _kept_layers(shape: Shape) -> list[Layers]:
    """Return the layers. A window that is no smaller than the context counts as none."""
    counted = Counter(shape.windows[window] for window, _ in shape.sights)
    return [Layers(SLIDING if window else FULL, count, window) for window, count in counted.items()]


def _describe(report: ModelReport, support: Support) -> bool:
    """Report what the configuration says. Returns whether our own pass runs the model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    config, whole = support.config, support.whole
    report.model_type = str(getattr(config, "model_type", ""))
    classes = CLASSES.get(report.model_type) or getattr(config, "architectures", None) or [""]
    report.architecture = classes if isinstance(classes, str) else str(classes[0])
    if config is not whole:
        report.part_of = str((getattr(whole, "architectures", None) or [whole.model_type])[0])
    report.own_context = support.own_context
    try:
        counted = Counter((each.kind, each.window) for each in layer_kinds(config))
    except Exception:  # `faults` say so
        counted = Counter()
    report.layers = [Layers(kind, count, window) for (kind, window), count in counted.items()]
    report.why_not_own = misfit(config) if counted else ""
    if method := method_of(whole):
        report.quantisation = Quantisation(method, *packages_of(method))
        if not report.why_not_own and not becomes_plain(whole):
            report.why_not_own = f"its weights stay {method}'s"
    report.own_pass = bool(counted) and not report.why_not_own
    return report.own_pass


def _opened(
    asked: Asked, report: ModelReport, support: Support, faults: Faults, *, packable: bool
) -> Checkpoint:
    """Open the checkpoint, and report on it and on the memory."""
    precision = choose_precision(AUTO, asked.device, packable=packable)
    with faults.noted():
        precision = choose_precision(asked.dtype, asked.device, packable=packable)
    report.dtype = precision.name
    if asked.adapter:
        report.adapter = asked.adapter.name
    folder = asked.folder
    checkpoint = open_checkpoint(
        folder.path, support.config, precision, asked.adapter, faults, packable=packable,
        source=HubHeaders(folder.display_name) if folder.on_hub else None,
    )  # fmt: skip
    report.parameters = parameters_of(checkpoint.skeleton)
    report.unused = {reason: len(names) for reason, names in checkpoint.unused.items()}
    if support.reason:
        return checkpoint
    need = checkpoint.need(precision, asked.rows, report.context, packable=packable)
    row = row_bytes(
        checkpoint.skeleton.config, precision.cache, report.context, has_rings=not packable
    )
    report.memory = _memory(need, row, asked.device)
    with faults.noted():
        helps = int8_helps(precision, asked.device, packable=packable)
        refuse_unless_it_fits(need, asked.device, int8_helps=helps)
    return checkpoint


def _memory(need: MemoryNeed, row: int, device: torch.device) -> Memory:
    free = free_memory(device)
    left = free - need.weights - ALWAYS
    fit = max(0, left // row) if left >= need.loading else 0
    return Memory(need.weights, row, need.loading, need.rows, need.total, free, fit)


def _template(
    asked: Asked, prompts: PromptBuilder, checkpoint: Checkpoint | None
) -> TemplateReport:
    source = "of the settings" if asked.template else "its own"
    traits = prompts.template.traits
    if traits.fault:
        return TemplateReport(source, {"conversations": f"fails: {traits.fault}"})
    answers = prompts.answers
    ends = prompts.stop_ids(end_ids_of(checkpoint.skeleton) if checkpoint else ())
    efforts = {
        name: _effort_text(switch) for name, switch in traits.efforts.items() if name != "auto"
    }
    return TemplateReport(
        source, _checks(traits), answers.thinks, answers.format_name, efforts,
        prompts.names_of(sorted(ends)),
    )  # fmt: skip


def _checks(traits: Traits) -> dict[str, str]:
    system = "shown" if traits.takes_system else "not taken: it stands before the first question"
    goes_on = "as the template writes it" if traits.continues else "written after the prompt"
    found = {
        "one turn, several": "rendered",
        "system message": system,
        "an answer that goes on": goes_on,
    }
    if traits.thinks:
        where = f"read in {traits.thought}" if traits.thought else "read in the answer"
        kept = "shown again" if traits.keeps else "dropped when there is a newer question"
        if not (traits.thought or traits.strips):
            where, kept = "left out", ""
        found["thoughts of the history"] = ", ".join(filter(None, (where, kept)))
        found["prompt"] = "opens a thought" if traits.opens else ""
    return found


def _effort_text(switch: EffortSwitch) -> str:
    told = [f"{name}={json.dumps(value)}" for name, value in switch.variables.items()]
    return ", ".join([*told, *([f'"{switch.instruction}"'] if switch.instruction else [])])
