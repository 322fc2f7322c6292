"""Loads a transformers model, or tells where its parameters come from one at a time.

Nothing is taken on trust: from the headers it is seen that every parameter has its tensor and every
tensor its parameter (`skeleton`), and once more from what transformers says it has loaded.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streaming.engine.base import EngineError
from streaming.engine.faults import Faults, told_by
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
    """A model that was found whole. `model` has its parameters on the meta device; `fill` gives a
    module its own, one module after the other, where they have a tensor each. `load` makes the
    whole model. `unused`: tensors that are not loaded, by the reason."""

    model: Any
    fill: Filling | None
    load: Callable[[], Any]
    unused: Mapping[str, Sequence[str]]


def open_model(
    path: Path, config: Any, dtype: torch.dtype, source: TensorSource,
    renamed: Mapping[str, str] | None = None, faults: Faults | None = None,
) -> Loadable:  # fmt: skip
    """A model of `config`, in the folder `path`, whose tensors are those of `source`. `renamed` has
    patterns of names, as `key_mapping` of `from_pretrained`.

    Raises EngineError with the names if something is missing or left over; with `faults`, these
    get it. Only headers are read.
    """
    renamed, faults = renamed or {}, faults or Faults(strict=True)
    try:
        model = skeleton_of(config, dtype)
    except Exception as error:
        raise _unloadable(path, error) from error
    model.generation_config = generation_config_of(path, model)
    fit = fit_of(model, source, renamed)
    model.tie_weights()  # what it was compared with has separated them
    if fit is not None:
        with faults.noted():
            refuse_unless_whole(fit, path)
        with faults.noted():
            refuse_unscaled(model, fit, source, path)
    total = sum(_bytes(source, name) for name in source.names())

    def load() -> Any:
        return _load(path, type(model), config, dtype, _Counting(source, total), renamed)

    unused = fit.unused if fit else {}
    if fit is None or fit.plain is None:
        return Loadable(model, None, load, unused)
    used = sum(_bytes(source, name) for name in fit.plain.values())
    return Loadable(model, Filling(model, _Counting(source, used), fit.plain, dtype), load, unused)


def load_model(path: Path, dtype: torch.dtype) -> Any:
    """The model in a folder as transformers has it, whatever its tensors lie in, for those who run
    it without the engine. Raises EngineError."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    return open_model(path, config, dtype, open_tensors(path)).load()


def load_quantised(
    path: Path, config: Any, dtype: torch.dtype, renamed: Mapping[str, str] | None = None
) -> Any:
    """The model in a folder whose weights are of few bits, by transformers' own reader of these;
    as plain ones where that can be had. Raises EngineError."""
    from transformers import AutoModelForCausalLM

    told = {"key_mapping": dict(renamed)} if renamed else {}
    arguments = loading_arguments(config)
    description = f"Loading {path.name}, whose weights are {method_of(config)}"
    with progress_display(description), warnings.catch_warnings():
        # Only how it is read is told beside what the model says of itself, as it is meant to be.
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
    path: Path, model_class: Any, config: Any, dtype: torch.dtype, source: _Counting,
    renamed: Mapping[str, str],
) -> Any:  # fmt: skip
    """By transformers' own loader, which asks for one tensor after the other."""
    state = {name: _Lazy(source, name, dtype) for name in source.names()}
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
    refuse_unless_whole(_told(model, info), path)
    return model.eval().requires_grad_(False)


def _told(model: Any, info: Mapping[str, Any]) -> Fit:
    """What transformers says of a model that it has loaded."""
    foreign = [name for name in info["unexpected_keys"] if not leftover_reason(name, model)]
    shapes = [str(each[0]) for each in info["mismatched_keys"]]
    return Fit(complete(model, info["missing_keys"]), foreign, [*shapes, *info["error_msgs"]])


def generation_config_of(path: Path, model: Any) -> Any:
    """What ends an answer, among others: the file's, else what the model's configuration says.
    Raises EngineError if what should end an answer is no token."""
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


class _Counting:
    """A source that shows how far it has been read."""

    def __init__(self, source: TensorSource, total: int) -> None:
        self._source, self._total, self._read = source, total, 0
        self._update: Callable[[float, float], None] = _silent

    def names(self) -> Collection[str]:
        return self._source.names()

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        tensor = self._source.read(name, wanted)
        self._read += _bytes(self._source, name)
        self._update(min(self._read, self._total), self._total)
        return tensor

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While it is read."""
        with progress_display("Loading the model's weights") as update:
            self._update = update
            yield
        self._update = _silent


def _silent(completed: float, total: float) -> None:
    pass


class _Lazy:
    """A tensor that is read when transformers' loader takes its content, as it does with those of
    safetensors."""

    def __init__(self, source: _Counting, name: str, dtype: torch.dtype) -> None:
        self._source, self._name, self._dtype = source, name, dtype

    def __getitem__(self, _: Any) -> Tensor:
        return self._source.read(self._name, self._dtype)


class Filling:
    """Gives modules of a skeleton their parameters, in the format `dtype`."""

    def __init__(
        self, model: Any, source: _Counting, names: Mapping[str, str], dtype: torch.dtype
    ) -> None:
        self._source, self._names, self._dtype = source, names, dtype
        self._prefixes = {id(module): name for name, module in model.named_modules()}
        tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
        self._tied = {**{other: one for one, other in tied.items()}, **tied}

    def shown(self) -> AbstractContextManager[None]:
        """The progress, meanwhile."""
        return self._source.shown()

    def __call__(self, module: nn.Module) -> None:
        prefix = self._prefixes[id(module)]
        for inner, owner in module.named_modules():
            where = ".".join(part for part in (prefix, inner) if part)
            for name in list(owner._parameters):
                if owner._parameters[name] is not None:
                    tensor = self._read(f"{where}.{name}")
                    owner._parameters[name] = nn.Parameter(tensor, requires_grad=False)

    def _read(self, name: str) -> Tensor:
        if name not in self._names:
            name = self._tied[name]
        return self._source.read(self._names[name]).to(self._dtype)


def _bytes(source: TensorSource, name: str) -> int:
    count = 1
    for size in source.shape(name):
        count *= size
    return count * source.dtype(name).itemsize


def _unloadable(path: Path, error: Exception) -> EngineError:
    reason = told_by(error)
    return EngineError(f"The model in {path} cannot be loaded: {reason}")
