"""Compares a model without its weights with a checkpoint's headers.

A parameter that no tensor is loaded into keeps random numbers, and a tensor without a parameter
shows that the model is another one. Either would answer noise, so both are refused by name.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from streaming.engine.base import EngineError
from streaming.engine.models.language_part import OTHER_PARTS
from streaming.engine.models.tensor_source import TensorSource
from streaming.engine.progress import without_progress_bars

logger = logging.getLogger("streaming.engine.models")

_NAMED = 6  # in a message


@dataclass(frozen=True, slots=True)
class Fit:
    """How a checkpoint fits a model.

    - `missing`: parameters of the model without a tensor
    - `foreign`: tensors without a parameter; `unused`: those of them that may be left over, by the
      reason
    - `misshapen`: sentences on tensors of another shape than their parameters
    - `plain`: the tensors' names by the parameters' names; None if a parameter is made of several
      tensors
    """

    missing: Collection[str] = ()
    foreign: Collection[str] = ()
    misshapen: Collection[str] = ()
    plain: Mapping[str, str] | None = None
    unused: Mapping[str, Sequence[str]] = field(default_factory=dict)


def skeleton_of(config: Any, dtype: torch.dtype) -> Any:
    """Return the transformers model of a configuration, its parameters on the `meta` device."""
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    with torch.device("meta"), without_progress_bars():
        for attention in ("sdpa", "eager"):
            try:
                model = auto.from_config(
                    copy.deepcopy(config), dtype=dtype, attn_implementation=attention,
                    trust_remote_code=False,
                )  # fmt: skip
                return model.eval().requires_grad_(False)
            except ValueError:  # a model without sdpa says so with a ValueError
                if attention == "eager":
                    raise
    raise AssertionError("unreachable")


def fit_of(model: Any, source: TensorSource, renamed: Mapping[str, str]) -> Fit | None:
    """Return how the tensors of `source` fit the skeleton `model`.

    `renamed` has patterns of names, as `key_mapping` of `from_pretrained`. None if the installed
    transformers lacks the functions for it: then the loading shows it.
    """
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import convert_and_load_state_dict_in_model
        from transformers.modeling_utils import LoadStateDictConfig

        rules: Any = get_model_conversion_mapping(model, dict(renamed) or None)
        names = _plain_names(model, source, rules)
        state = {
            name: torch.empty(source.shape(name), dtype=source.dtype(name), device="meta")
            for name in source.names()
        }
        told = LoadStateDictConfig(device_map={"": "meta"}, dtype=model.dtype, weight_mapping=rules)
        with without_progress_bars():
            info, _ = convert_and_load_state_dict_in_model(model, state, told)
    except (ImportError, AttributeError, TypeError, NotImplementedError, RuntimeError) as error:
        logger.debug("The checkpoint is compared when it is loaded: %r", error)
        return None
    if info.conversion_errors:
        return None
    return _judged(model, info, source, names)


def _plain_names(model: Any, source: TensorSource, rules: Sequence[Any]) -> dict[str, str] | None:
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    parameters, prefix = model.state_dict(), model.base_model_prefix
    names: dict[str, str] = {}
    for name in source.names():
        renamed, pattern = rename_source_key(name, renamings, converters, prefix, parameters)
        if renamed not in parameters and name in parameters:
            renamed, pattern = name, None
        if renamed in parameters:
            if pattern is not None or renamed in names:
                return None
            names[renamed] = name
    return names


def _judged(model: Any, info: Any, source: TensorSource, names: dict[str, str] | None) -> Fit:
    """Return the fit, without what may be missing or left over."""
    found = set(info.unexpected_keys)
    missing, foreign = complete(model, info.missing_keys), found
    unused: dict[str, list[str]] = {}
    for name in sorted(found):
        if reason := leftover_reason(name, model):
            unused.setdefault(reason, []).append(name)
            foreign.discard(name)
    shapes = [
        f"{name} is {list(theirs)} instead of {list(ours)}"
        for name, theirs, ours in sorted(info.mismatched_keys)
    ]
    return Fit(missing, foreign, shapes, names, unused)


def complete(model: Any, missing: Iterable[str]) -> set[str]:
    """Return which of the parameters that a checkpoint lacks are really missing: those that are
    tied to another one have its numbers, and some buffers are computed."""
    lacking = set(missing)
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    for one, other in tied.items():
        if one not in lacking or other not in lacking:
            lacking -= {one, other}
    buffers = {name for name, _ in model.named_buffers()}
    allowed = getattr(model, "_keys_to_ignore_on_load_missing", None) or ()
    return {
        name
        for name in lacking
        if not (name in buffers and any(re.search(pattern, name) for pattern in allowed))
    }


_COMPUTED = re.compile(
    r"rotary_emb\.(inv_freq|cos_cached|sin_cached)$|rotary_pos_emb\.inv_freq$|(^|\.)position_ids$"
    r"|(attn|attention)\.masked_bias$"
)
_PREDICTING = re.compile(r"^(model\.)?mtp(\.|_)")
_CACHE_SCALES = re.compile(r"(self_attn|attn)\.((k|v|q)_scale|(k|v)_proj\.output_scale)$")


def leftover_reason(name: str, model: Any) -> str:
    """Return why a tensor may be left over; empty if it may not."""
    config = model.config
    if _COMPUTED.search(name):
        return "tables that are computed"
    if _CACHE_SCALES.search(name):
        return "scales of a cache of 8 bits"
    following = getattr(config, "num_nextn_predict_layers", None) or 0
    layers = getattr(config, "num_hidden_layers", 0)
    layer = re.match(r"(?:model\.)?layers\.(\d+)\.", name)
    if _PREDICTING.match(name) or (layer and layers <= int(layer[1]) < layers + following):
        return "layers that predict several tokens at once"
    if name.removeprefix("model.").startswith(OTHER_PARTS):
        return "parts that see or hear"
    allowed = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    if any(re.search(pattern, name) for pattern in allowed):
        return "what transformers does not load for this kind of model"
    return ""


def refuse_unless_whole(fit: Fit, where: object) -> None:
    """Raise EngineError with the names of what is missing, left over or of another shape; log what
    is not used."""
    for reason, names in fit.unused.items():
        logger.info("Not used of the model: %s (%s).", reason, few(names))
    reasons = []
    if fit.misshapen:
        reasons.append(f"its weights have other shapes than it says: {few(fit.misshapen)}")
    if fit.missing:
        reasons.append(f"it lacks {_counted(fit.missing)}: {few(fit.missing)}")
    if fit.foreign:
        reasons.append(
            f"it has {_counted(fit.foreign)} that a model of its kind has no place for: "
            f"{few(fit.foreign)}"
        )
    if reasons:
        raise EngineError(
            f"The model in {where} cannot be served: {'; '.join(reasons)}. It would answer "
            "nonsense.",
            "model_corrupt",
        )


def refuse_unscaled(model: Any, fit: Fit, source: TensorSource, where: object) -> None:
    """Raise EngineError if weights are numbers of 8 bits or less and nothing says what their scale
    is: without it they would be read wrongly."""
    parameters, names = model.state_dict(), fit.plain
    if names is None:
        unused = {name for each in fit.unused.values() for name in each}
        names = {name: name for name in source.names() if name not in unused}
    unscaled = [
        name
        for parameter, name in names.items()
        if _is_small(source.dtype(name))
        and (parameter not in parameters or parameters[parameter].is_floating_point())
    ]
    if unscaled:
        raise EngineError(
            f"The model in {where} cannot be served: {_counted(unscaled)} of it are numbers of few "
            f"bits ({few(unscaled)}), and its configuration does not say how to read them.",
            "model_unsupported",
        )


def _is_small(dtype: torch.dtype) -> bool:
    return not dtype.is_floating_point or dtype.itemsize < 2


def _counted(names: Collection[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"


def few(names: Collection[str]) -> str:
    """Return names for a message: the first six, and how many more there are."""
    first = sorted(names)[:_NAMED]
    left = len(names) - len(first)
    return ", ".join(first) + (f" and {left} more" if left else "")
