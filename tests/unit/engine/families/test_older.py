"""Older families, and those that also see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.families.serving import check_served

FAMILIES = [
    "stablelm",
    "gpt_neox",
    "gpt2",
    "opt",
    "bloom",
    "mpt",
    "falcon",
    "falcon, ALiBi",
    "starcoder (gpt_bigcode)",
    "gptj",
    "gemma3, vision",
    "gemma4, vision",
    "llama4, vision",
    "llava",
    "mistral3",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_generate_does(name: str, tmp_path: Path) -> None:
    check_served(name, tmp_path)
