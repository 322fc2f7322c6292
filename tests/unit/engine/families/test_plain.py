"""Families whose tokens see all before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.families.serving import check_served

FAMILIES = [
    "llama",
    "mistral",
    "mistral, long window",
    "qwen2",
    "qwen3",
    "gemma",
    "phi",
    "phi3",
    "phi3, longrope",
    "olmo2",
    "smollm3",
    "granite",
    "glm4",
    "cohere",
    "ernie4_5",
    "seed_oss",
    "hunyuan",
    "apertus",
    "nemotron",
    "arcee",
    "helium",
    "bitnet",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_generate_does(name: str, tmp_path: Path) -> None:
    check_served(name, tmp_path)
