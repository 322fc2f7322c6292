"""Families with experts, and those with latents from which whole keys and values are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.families.serving import check_served

FAMILIES = [
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "phimoe",
    "granitemoe",
    "granitemoehybrid",
    "deepseek_v2",
    "deepseek_v3",
    "glm4_moe",
    "glm4_moe_lite",
    "minicpm3",
    "ernie4_5_moe",
    "hunyuan_moe",
    "minimax_m2",
    "llama4, scaled",
    "solar_open",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_generate_does(name: str, tmp_path: Path) -> None:
    check_served(name, tmp_path)
