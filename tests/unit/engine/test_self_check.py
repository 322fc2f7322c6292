"""A pass that computes something else than transformers does is refused before it serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BloomConfig, FalconConfig, GPT2Config, MptConfig, Qwen2Config

from streaming.engine.base import EngineError
from streaming.engine.local import LocalEngine
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.forward import linear, parts_check, self_check, transformers_model
from streaming.engine.local.forward.decoder import Decoder
from streaming.engine.local.forward.packed import Packed
from streaming.engine.local.forward.precision import AUTO, choose_precision, without_int8
from streaming.engine.local.forward.transformers_model import TransformersModel
from streaming.engine.local.forward.weights import Weights
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.store import ModelFolder
from tests.unit.engine.families.configurations import configuration
from tests.unit.engine.families.serving import shake

CPU = torch.device("cpu")
DTYPES = ["float32", "bfloat16", "int8"]
SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 200, "max_position_embeddings": 256,
}  # fmt: skip


def folder(path: Path, config: Any) -> Path:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    shake(auto.from_config(config)).save_pretrained(path)
    return path


def load(path: Path, dtype: str, rows: int = 3, **more: Any) -> ModelRunner:
    if dtype == "int8" and not linear.can_int8():
        pytest.skip("this torch has no 8-bit product for this CPU")
    return ModelRunner(path, CPU, dtype, rows, 128, **more)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How alike everything was that was compared."""
    likenesses: list[float] = []
    require = parts_check.require

    def recorded(what: str, ours: Any, theirs: Any, least: float) -> None:
        likenesses.append(self_check.likeness(ours, theirs))
        require(what, ours, theirs, least)

    monkeypatch.setattr(parts_check, "require", recorded)
    return likenesses


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_default_model_is_well_within_the_bounds(
    dtype: str, model_folder: ModelFolder, found: list[float]
) -> None:
    runner = load(model_folder.path, dtype, 1 if dtype == "float32" else 3)
    assert len(found) == 3 + 2 * 30 + 4
    parts = [likeness for at, likeness in enumerate(found[3:-4]) if at % 2]
    assert min(parts) > {"float32": 0.99999, "bfloat16": 0.999, "int8": 0.99}[dtype]
    assert min(found) > {"float32": 0.99999, "bfloat16": 0.995, "int8": 0.94}[dtype]
    assert runner.cache.bytes == 0


def turned_wrongly(weights: Weights) -> None:
    weights.angles = weights.angles.conj().resolve_conj()


def scaled_wrongly(weights: Weights) -> None:
    object.__setattr__(weights.shape, "scale", 1.5 * weights.shape.scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("broken", [turned_wrongly, scaled_wrongly])
def test_wrong_positions_and_a_wrong_scale_are_found(
    dtype: str, broken: Callable[[Weights], None], model_folder: ModelFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In the real model, whose numbers are not made to show it."""
    take = Weights._take

    def taken(self: Weights, layer: Any) -> Any:
        if self._check and self._check._number == 0:
            broken(self)
            self._check._angles, self._check._scale = self.angles, self.shape.scale
        return take(self, layer)

    monkeypatch.setattr(Weights, "_take", taken)
    with pytest.raises(
        EngineError, match=r"(attention|half) of layer \d+ \(full_attention"
    ) as caught:
        load(model_folder.path, dtype)
    assert caught.value.code == "model_unsupported"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_lost_bias_is_found(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path, Qwen2Config(**SHAPE))
    load(path, dtype)
    pack = Weights._pack

    def without(self: Weights, *modules: Any, **more: Any) -> Any:
        for module in modules:
            theirs, module.bias = module.bias, None
            module.register_forward_hook(
                lambda _, __, y, bias=theirs: y if bias is None else y + bias
            )
        return pack(self, *modules, **more)

    monkeypatch.setattr(Weights, "_pack", without)
    with pytest.raises(EngineError, match=r"bias.* of layer 0"):
        load(path, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_that_see_too_little_are_found(
    dtype: str, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here what was read in the first chunk is not where the second one looks for it."""
    if dtype == "int8" and not linear.can_int8():
        pytest.skip("this torch has no 8-bit product for this CPU")
    kept: list[Packed] = []
    write = {kind: kind.write_span for kind in _kinds(Slots) if "write_span" in vars(kind)}

    for kind, method in write.items():

        def lost(self: Any, row: int, start: int, *args: Any, method: Any = method) -> None:
            if start:
                method(self, row, start, *args)

        monkeypatch.setattr(kind, "write_span", lost)
    with pytest.raises(EngineError, match=r"our own pass, (read in chunks|decoded)"):
        load(model_folder.path, dtype, keep=kept.append)
    assert not kept


def _kinds(kind: type) -> list[type]:
    return [kind, *(each for child in kind.__subclasses__() for each in _kinds(child))]


def test_what_is_kept_is_not_checked_again(model_folder: ModelFolder, found: list[float]) -> None:
    kept: list[Packed] = []
    load(model_folder.path, "int8", keep=kept.append)
    assert found
    found.clear()
    again = ModelRunner(model_folder.path, CPU, "int8", 3, 128, packed=kept[0])
    assert isinstance(again._model, Decoder)
    assert not found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pass_over_our_cache_is_checked(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[float]
) -> None:
    path = folder(tmp_path, configuration("olmo3"))
    runner = load(path, dtype)
    assert isinstance(runner._model, TransformersModel)
    assert not found  # what is alike is not asked for
    mask = TransformersModel._mask

    def wrong(self: TransformersModel, at: Any, held: Any, kind: Any) -> Any:
        return mask(self, at, held + 1, kind)

    monkeypatch.setattr(TransformersModel, "_mask", wrong)
    with pytest.raises(EngineError, match=r"transformers' pass over our cache.*layer 0"):
        load(path, dtype)


def test_numbers_that_are_none_are_like_nothing() -> None:
    assert self_check.likeness(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 2.0])) == -1
    assert self_check.likeness(torch.ones(3), torch.ones(3)) == 0
    assert self_check.likeness(torch.arange(3.0), 2 * torch.arange(3.0)) == pytest.approx(1)


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=32, n_head=2, n_layer=2, vocab_size=200, n_positions=64, eos_token_id=1),
        BloomConfig(hidden_size=32, n_head=2, n_layer=2, vocab_size=200),
        MptConfig(d_model=32, n_heads=2, n_layers=2, vocab_size=200, max_seq_len=64),
        FalconConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=2, vocab_size=200),
    ],
    ids=lambda config: str(config.model_type),
)
def test_layers_of_any_name_are_told(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From which one on: each model's code has another name for them."""
    monkeypatch.setattr(transformers_model, "least_likeness", lambda _: self_check.Least(2, 2, 2))
    with pytest.raises(EngineError, match=r"from layer 0 \(full_attention\) on"):
        load(folder(tmp_path, config), "float32")


@pytest.mark.parametrize(
    "config", [GPT2Config(n_embd=32, n_head=2, n_layer=2, vocab_size=200, n_positions=64,
                          eos_token_id=1), Qwen2Config(**SHAPE)],
    ids=["transformers' pass", "our own"],
)  # fmt: skip
def test_a_model_whose_code_fails_is_refused(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("shapes do not match\nat line 7")

    for kind in (TransformersModel, Decoder):
        monkeypatch.setattr(kind, "step", failing)
    with pytest.raises(EngineError, match=r"start failed \(shapes do not match\)\.$"):
        load(folder(tmp_path, config), "float32")


def test_a_model_that_8_bits_are_too_coarse_for_is_served_in_more(
    cache_dir: Path | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless 8 bits are what was asked for."""
    if choose_precision(AUTO, CPU, packable=True).name != "int8":
        pytest.skip("8 bits are not this CPU's choice")
    monkeypatch.setattr(self_check, "_INT8", self_check.Least(0.9999, 0.9999, 0.9999))

    def started(dtype: str) -> LocalEngine:
        engine = LocalEngine(dtype=dtype, device="cpu", max_running=1, context_tokens=64,
                             cache_dir=cache_dir, progress=False, fresh=True)  # fmt: skip
        engine.start(lambda events: None)
        return engine

    engine = started(AUTO)
    try:
        assert engine.info.dtype == without_int8()
    finally:
        engine.close()
    assert f"CHATSTREAM_DTYPE={without_int8()}" in caplog.text
    with pytest.raises(EngineError, match=f"likeness.*CHATSTREAM_DTYPE={without_int8()}"):
        started("int8")
