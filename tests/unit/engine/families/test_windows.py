"""Families whose layers see the newest tokens only, or those of a chunk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.families.serving import check_served

FAMILIES = [
    "mistral, window",
    "ministral",
    "qwen2, window",
    "gemma2",
    "gemma3",
    "gemma4",
    "gemma4, shared",
    "gemma3n",
    "phi3, window",
    "gpt_oss",
    "olmo3",
    "smollm3, window",
    "cohere2",
    "exaone4",
    "starcoder2",
    "dots1",
    "llama4",
    "gpt_neo",
    "doge",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_generate_does(name: str, tmp_path: Path) -> None:
    check_served(name, tmp_path)
