"""A model is sampled as its makers say, where nobody asks for something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streaming.engine.base import ChatMessage, GenerationRequest, SamplingParams
from streaming.engine.local.prompts.preparer import Preparer
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.models.own_sampling import DEFAULTS, own_sampling, resolved
from streaming.engine.models.store import ModelFolder
from tests.support.thinking_tokenizers import tokenizer_of
from tests.unit.engine.gathered import Gathered


def said(folder: Path, **values: Any) -> dict[str, float]:
    (folder / "generation_config.json").write_text(json.dumps(values))
    return own_sampling(folder)


def test_what_they_say_counts_and_the_rest_is_ours(tmp_path: Path) -> None:
    assert own_sampling(tmp_path) == DEFAULTS
    assert DEFAULTS == {"temperature": 0.3, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.0}
    qwen = said(tmp_path, do_sample=True, temperature=0.6, top_k=20, top_p=0.95, eos_token_id=1)
    assert qwen == {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.0}
    assert said(tmp_path, top_k=64) == {**DEFAULTS, "top_k": 64}
    assert said(tmp_path, do_sample=False, temperature=0.6)["temperature"] == 0
    assert said(tmp_path, top_k=-1, top_p=None) == {**DEFAULTS, "top_k": 0}
    assert isinstance(said(tmp_path, top_k=20.0)["top_k"], int)


@pytest.mark.parametrize(
    "values",
    [{"temperature": -1}, {"temperature": "hot"}, {"temperature": True}, {"top_p": 0},
     {"top_p": 1.5}, {"top_k": 2.5}, {"top_k": -2}, {"repetition_penalty": 0},
     {"temperature": float("inf")}, {"top_p": [1]}],
)  # fmt: skip
def test_what_cannot_be_is_not_taken(
    tmp_path: Path, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert said(tmp_path, **values) == DEFAULTS
    (warning,) = caplog.records
    assert next(iter(values)) in warning.message


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '"x"'])
def test_a_file_that_cannot_be_read_says_nothing(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "generation_config.json").write_text(content)
    assert own_sampling(tmp_path) == DEFAULTS
    assert "is not taken notice of" in caplog.text


def test_what_somebody_asks_for_counts_more() -> None:
    own = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.1}
    params = SamplingParams(10, 7, temperature=0.0, asked=frozenset({"temperature", "seed"}))
    found = resolved(params, own)
    assert (found.temperature, found.top_p, found.top_k) == (0.0, 0.95, 20)
    assert (found.seed, found.max_tokens, found.repetition_penalty) == (7, 10, 1.1)
    assert resolved(found, own) == found  # as after a restart
    everything = SamplingParams(10, 7)
    assert resolved(everything, own) is everything


def test_a_prompt_is_prepared_with_them() -> None:
    preparer = Preparer(PromptBuilder(tokenizer_of("llama3")), 200, 9999, {"top_k": 20})
    params = SamplingParams(1, 1, asked=frozenset())
    request = GenerationRequest("a", (ChatMessage("user", "Hi"),), params)
    prepared = preparer.prepare(request, lambda: None)
    assert prepared.sequence is not None
    assert prepared.sequence.params.top_k == 20


def test_the_default_models_are_as_they_were(model_folder: ModelFolder, gathered: Gathered) -> None:
    assert own_sampling(model_folder.path) == DEFAULTS
    assert gathered.engine.info.sampling == DEFAULTS
