"""What is wrong with one row of the engine stays in that row: its neighbours, and whoever gets the
row next, compute what they compute without it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from streaming.engine.base import Finished, FinishReason, Started, TextDelta
from streaming.engine.local.forward import linear
from streaming.engine.local.forward.decoder import Span
from streaming.engine.local.runner import ModelRunner
from tests.unit.engine.gathered import Gathered, ask
from tests.unit.engine.test_decoder import CONFIGS, SHAPE, TOKENS, folder

ids = (f"fault{number}" for number in itertools.count())

MOE = AutoConfig.for_model("mixtral", **SHAPE, num_local_experts=4, num_experts_per_tok=2)


def poison(runner: ModelRunner, row: int, value: float) -> None:
    """All that the row has in the cache, and could have."""
    for slots in runner.cache.slots:
        slots.keys[row].fill_(value)
        slots.values[row].fill_(value)


def read(runner: ModelRunner) -> None:
    for row, length in enumerate((60, 70, 33, 128)):
        runner.step([], [], [Span(row, TOKENS[row : row + length], 0)])


def runs(path: Path, dtype: str, general: bool) -> ModelRunner:
    if dtype == "int8" and not linear.can_int8():
        pytest.skip("this torch has no 8-bit product for this CPU")
    return ModelRunner(path, torch.device("cpu"), dtype, 6, 200, general=general)


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize(
    ("config", "dtype", "general"),
    [
        (CONFIGS["llama"], "float32", False),
        (CONFIGS["qwen3"], "bfloat16", False),
        (CONFIGS["llama, tied, biased"], "int8", False),
        (CONFIGS["llama"], "float32", True),
        (MOE, "float32", True),
    ],
    ids=["float32", "bfloat16", "int8", "general", "experts"],
)
def test_a_poisoned_row_of_the_cache_stays_alone(
    config: Any, dtype: str, general: bool, value: float, tmp_path: Path
) -> None:
    """Bit by bit: beside rows that decode, and beside prompts that are read."""
    path = folder(tmp_path, config)
    clean, ill = runs(path, dtype, general), runs(path, dtype, general)
    others = [0, 2, 3]
    with torch.inference_mode():
        read(clean)
        read(ill)
        poison(ill, 1, value)
        for at in range(3):
            told = [5, 6, 7, 8], [60 + at, 70 + at, 33 + at, 128 + at]
            spans = [Span(4, TOKENS[20 * at : 20 * at + 20], 20 * at)] if at else []
            expected, found = clean.step(*told, spans), ill.step(*told, spans)
            assert not found[1].isfinite().all()
            assert expected.isfinite().all()
            kept = [*others, 4] if spans else others
            # An expert multiplies those that chose it together, and sums as suits their number.
            exact = {} if config is MOE else {"rtol": 0.0, "atol": 0.0}
            torch.testing.assert_close(found[kept], expected[kept], **exact)
        # The next one in this row is shorter than its neighbours, and reads beyond its own end.
        ill.clear_row(1)
        for runner in (clean, ill):
            runner.step([], [], [Span(1, TOKENS[90:95], 0)])
        told = [5, 6, 7, 8], [63, 5, 36, 131]
        torch.testing.assert_close(ill.step(*told), clean.step(*told), **exact)


@pytest.mark.parametrize("ends", ["cancelled", "read"])
def test_a_prompt_that_gives_no_numbers_is_nobodys_beginning(
    ends: str, gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first chunk already says so: it ends there, and not when somebody has cancelled it and
    the next one has got what it had read."""
    stepper = gathered.engine._stepper
    step, clean, bad, good = stepper._runner.step, next(ids), next(ids), next(ids)
    text = f"{ends} one two three four five " * 60
    gathered.ask(clean, f"X {text}", max_tokens=6)
    seen: list[int] = []

    def ill(tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]) -> torch.Tensor:
        logits = step(tokens, positions, spans)
        for number, span in enumerate(spans):
            if span.row == stepper._sequences[bad].row:
                seen.append(span.start)
                for slots in stepper._runner.cache.slots:
                    end = span.start + len(span.tokens)
                    slots.values[span.row, :, span.start : end] = math.nan
                logits[len(tokens) + number] = math.nan
                if ends == "cancelled":
                    gathered.engine.cancel(bad)
        return logits

    with monkeypatch.context() as patch:
        patch.setattr(stepper._runner, "step", ill)
        finished = gathered.ask(bad, f"Y {text}", max_tokens=6)
    assert (finished.reason, finished.error_code) == (FinishReason.ERROR, "engine_error")
    assert len(seen) == 1
    finished = gathered.ask(good, f"Y {text}", max_tokens=6)
    assert finished.reason is FinishReason.LENGTH
    started = gathered.of(good)[0]
    assert isinstance(started, Started)
    assert started.cached_tokens < finished.prompt_tokens / 2


def test_where_a_beginning_came_from_is_not_asked_again(gathered: Gathered) -> None:
    """A row may hold what only another question turns into no numbers: an infinite key."""
    stepper = gathered.engine._stepper
    first, bad, good = next(ids), next(ids), next(ids)
    text = "A list of words: alpha beta gamma delta. " * 3
    gathered.ask(first, text + "And more words than before: epsilon. " * 20, max_tokens=2)
    rows = stepper._scheduler._rows._rows
    source = max(range(len(rows)), key=lambda number: rows[number].given_back)
    with torch.inference_mode():
        for slots in stepper._runner.cache.slots:
            slots.values[source, :, 20:30] = math.nan
    finished = gathered.ask(bad, text + "What is the first?", max_tokens=6)
    assert (finished.reason, finished.error_code) == (FinishReason.ERROR, "engine_error")
    finished = gathered.ask(good, text + "What is the last?", max_tokens=6)
    assert finished.reason is FinishReason.LENGTH
    alone = next(ids)
    gathered.ask(alone, text + "What is the last?", max_tokens=6)
    assert gathered.text(alone) == gathered.text(good)


def test_the_default_sampling_beside_a_row_without_numbers(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each kind of row one, all of them beside the bad one; its text so far was said."""
    stepper = gathered.engine._stepper
    step = stepper._runner.step
    kinds: list[dict[str, Any]] = [
        {"temperature": 0.3, "top_p": 0.9, "top_k": 50},
        {"temperature": 0.0},
        {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
        {"temperature": 0.7, "top_p": 0.95, "top_k": 0, "repetition_penalty": 1.3},
    ]
    alone, beside, bad = [next(ids) for _ in kinds], [next(ids) for _ in kinds], next(ids)
    for name, kind in zip(alone, kinds, strict=True):
        gathered.ask(name, "Name a fruit.", max_tokens=12, **kind)

    def ill(*told: Any) -> torch.Tensor:
        logits = step(*told)
        for sequence in stepper._scheduler.running:
            if sequence.id == bad and sequence.generated >= 3:
                logits[sequence.row] = math.nan
        return logits

    with monkeypatch.context() as patch:
        patch.setattr(stepper._runner, "step", ill)
        for name, kind in zip((bad, *beside), (kinds[0], *kinds), strict=True):
            gathered.engine.submit(ask(name, "Name a fruit.", max_tokens=12, **kind))
        finished = gathered.wait(bad)
        for name in beside:
            gathered.wait(name)
    assert (finished.reason, finished.error_code) == (FinishReason.ERROR, "engine_error")  # type: ignore[attr-defined]
    assert len(gathered.tokens(bad)) == 3 == finished.completion_tokens  # type: ignore[attr-defined]
    assert sum(isinstance(event, TextDelta) for event in gathered.of(bad)) == 3
    for name, other in zip(alone, beside, strict=True):
        assert gathered.text(other) == gathered.text(name)


def test_a_tokenizer_with_more_tokens_than_its_model(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper, good = gathered.engine._stepper, next(ids)
    gathered.engine.submit(ask(good, "Count to fifty.", max_tokens=30))
    gathered.wait(good, TextDelta)
    with monkeypatch.context() as patch:
        patch.setattr(stepper._prompts, "fit", lambda *_: ([stepper._runner.vocabulary], 0))
        finished = gathered.ask(next(ids), "Hi")
    assert (finished.reason, finished.error_code) == (FinishReason.ERROR, "engine_error")
    assert gathered.wait(good).reason is FinishReason.LENGTH  # type: ignore[attr-defined]


def test_an_earlier_text_that_cannot_be_made_again_is_one_responses(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper, good, bad = gathered.engine._stepper, next(ids), next(ids)
    decode = stepper._prompts.decode

    def fragile(tokens: Sequence[int]) -> str:
        if 500 in tokens:
            raise ValueError("no text")
        return decode(tokens)

    monkeypatch.setattr(stepper._prompts.answers, "_decode", fragile)
    gathered.engine.submit(ask(good, "Count to fifty.", max_tokens=20))
    gathered.wait(good, TextDelta)
    gathered.engine.submit(replace(ask(bad, "Hi", max_tokens=5), prior_tokens=(500, 500)))
    for name, reason in ((bad, FinishReason.ERROR), (good, FinishReason.LENGTH)):
        finished = gathered.wait(name)
        assert isinstance(finished, Finished)
        assert finished.reason is reason
