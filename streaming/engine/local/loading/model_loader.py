"""Loads a transformers model as a whole, or prepares to load it one module at a time.

Nothing is taken on trust: the headers show whether every parameter has its tensor and every tensor
its parameter (`skeleton`), and what transformers reports of the loading is compared once more.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from streaming.engine.base import EngineError
from streaming.engine.faults import Faults, told_by
from streaming.engine.local.loading.counting_source import (
    CountingSource,
    LazyTensor,
    tensor_bytes,
)
from streaming.engine.local.loading.module_filler import ModuleFiller
from streaming.engine.local.loading.plain_weights import loading_arguments, to_plain
from streaming.engine.local.loading.skeleton import (
    Fit,
    complete,
    fit_of,
    leftover_reason,
    refuse_unless_whole,
    refuse_unscaled,
    skeleton_of,
)
from streaming.engine.models.quantised import method_of
from streaming.engine.models.tensor_source import TensorSource, open_tensors
from streaming.engine.progress import progress_display, without_progress_bars

logger = logging.getLogger("streaming.engine.models")


@dataclass(frozen=True, slots=True)
class Loadable:
    """A model that can be loaded.

    - `model`: its skeleton, all parameters on the meta device
    - `fill`: gives a module of the skeleton its parameters; None where a parameter is made of
      several tensors
    - `load`: loads the whole model instead
    - `unused`: names of the tensors that are not loaded, by the reason
    """

    model: Any
    fill: ModuleFiller | None
    load: Callable[[], Any]
    unused: Mapping[str, Sequence[str]]


def open_model(
    path: Path, config: Any, dtype: torch.dtype, source: TensorSource,
    renamed: Mapping[str, str] | None = None, faults: Faults | None = None,
) -> Loadable:  # fmt: skip
    """Prepare to load the model of `config`, in the folder `path`, from the tensors of `source`.

    `renamed` has patterns of names, as `key_mapping` of `from_pretrained`. Only headers are read.
    Raises EngineError with the names if tensors are missing or left over; with `faults`, the error
    is added to them instead.
    """
    renamed, faults = renamed or {}, faults or Faults(strict=True)
    try:
        model = skeleton_of(config, dtype)
    except Exception as error:
        raise _unloadable(path, error) from error
    model.generation_config = generation_config_of(path, model)
    fit = fit_of(model, source, renamed)
    model.tie_weights()  # `fit_of` has separated them
    if fit is not None:
        with faults.noted():
            refuse_unless_whole(fit, path)
        with faults.noted():
            refuse_unscaled(model, fit, source, path)
    total = sum(tensor_bytes(source, name) for name in source.names())

    def load() -> Any:
        return _load(path, type(model), config, dtype, CountingSource(source, total), renamed)

    unused = fit.unused if fit else {}
    if fit is None or fit.plain is None:
        return Loadable(model, None, load, unused)
    used = sum(tensor_bytes(source, name) for name in fit.plain.values())
    fill = ModuleFiller(model, CountingSource(source, used), fit.plain, dtype)
    return Loadable(model, fill, load, unused)


def load_model(path: Path, dtype: torch.dtype) -> Any:
    """Load the model in a folder as transformers has it, from whatever kind of files, to run it
    without the engine. Raises EngineError if it cannot be loaded."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    return open_model(path, config, dtype, open_tensors(path)).load()


def load_quantised(
    path: Path, config: Any, dtype: torch.dtype, renamed: Mapping[str, str] | None = None
) -> Any:
    """Load the model in a folder whose weights are quantised, by transformers' own reader, with
    plain weights where the method allows that. Raises EngineError if it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    told = {"key_mapping": dict(renamed)} if renamed else {}
    arguments = loading_arguments(config)
    description = f"Loading {path.name}, whose weights are {method_of(config)}"
    with progress_display(description), warnings.catch_warnings():
        # It warns that our configuration is used beside the model's, which is intended.
        warnings.filterwarnings("ignore", "You passed `quantization_config`")
        model = _from_pretrained(
            path,
            AutoModelForCausalLM,
            str(path),
            config=copy.deepcopy(config),
            dtype=dtype,
            **arguments,
            **told,
        )
        try:
            return to_plain(model)
        except Exception as error:
            raise _unloadable(path, error) from error


def _load(
    path: Path, model_class: Any, config: Any, dtype: torch.dtype, source: CountingSource,
    renamed: Mapping[str, str],
) -> Any:  # fmt: skip
    """Load by transformers' own loader, which asks for one tensor after the other."""
    state = {name: LazyTensor(source, name, dtype) for name in source.names()}
    told = {"key_mapping": dict(renamed)} if renamed else {}
    with source.shown():
        model = _from_pretrained(
            path,
            model_class,
            None,
            config=copy.deepcopy(config),
            dtype=dtype,
            state_dict=state,
            **told,
        )
    model.generation_config = generation_config_of(path, model)
    return model


def _from_pretrained(path: Path, auto: Any, name: str | None, config: Any, **arguments: Any) -> Any:
    arguments |= {"trust_remote_code": False, "output_loading_info": True}
    arguments["config"] = copy.deepcopy(config)
    try:
        with without_progress_bars():
            try:
                model, info = auto.from_pretrained(name, attn_implementation="sdpa", **arguments)
            except ValueError as error:  # a model without it says so with a ValueError
                if "scaled_dot_product_attention" not in str(error):
                    raise
                model, info = auto.from_pretrained(name, attn_implementation="eager", **arguments)
    except EngineError:
        raise
    except Exception as error:
        raise _unloadable(path, error) from error
    refuse_unless_whole(_reported_fit(model, info), path)
    return model.eval().requires_grad_(False)


def _reported_fit(model: Any, info: Mapping[str, Any]) -> Fit:
    """Return how a model's tensors fit it, by what transformers reports of its loading."""
    foreign = [name for name in info["unexpected_keys"] if not leftover_reason(name, model)]
    shapes = [str(each[0]) for each in info["mismatched_keys"]]
    return Fit(complete(model, info["missing_keys"]), foreign, [*shapes, *info["error_msgs"]])


def generation_config_of(path: Path, model: Any) -> Any:
    """Return the model's generation configuration, which says what ends an answer: that of the
    file, else that of the model's configuration. Raises EngineError if what should end an answer is
    no token."""
    from transformers import GenerationConfig

    try:
        found: Any = GenerationConfig.from_pretrained(str(path))
    except Exception:  # it is not there, or damaged, which `own_sampling` warns of
        return model.generation_config
    ends = found.eos_token_id
    if not all(type(each) is int for each in (ends if isinstance(ends, list) else [ends or 0])):
        raise EngineError(
            f"The model in {path} cannot be served: what ends its answers is no token "
            f"(eos_token_id is {ends!r:.100} in its generation_config.json).",
            "model_unsupported",
        )
    return found


def _unloadable(path: Path, error: Exception) -> EngineError:
    reason = told_by(error)
    return EngineError(f"The model in {path} cannot be loaded: {reason}")
