"""Real weights with windows of 512 tokens: Gemma 3 270M in a conversation of three windows; with
CHATSTREAM_TEST_LONG=1 of 6,000 tokens, which takes minutes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from streaming.engine.local.attention.ring_slots import RingSlots
from streaming.engine.local.forward.decoder import Decoder
from streaming.engine.local.forward.transformers_model import TransformersModel
from streaming.engine.local.loading.model_loader import load_model
from streaming.engine.models.store import ensure_model
from tests.support.long_runs import IS_LONG
from tests.unit.engine.families.serving import Served, expected

FIRST, SECOND, ANSWER = (5000, 6000, 200) if IS_LONG else (1300, 1550, 30)  # tokens


@cache
def wanted_of(path: Path, asked: tuple[int, ...]) -> list[int]:
    """What transformers itself answers; both passes are asked the same."""
    return expected(load_model(path, torch.float32), list(asked), ANSWER)


@pytest.mark.parametrize("general", [False, True], ids=["our own pass", "transformers' pass"])
def test_a_conversation_far_beyond_the_window(
    general: bool, gemma: Path, cache_dir: Path | None
) -> None:
    folder = ensure_model(str(gemma), cache_dir, progress=False)
    served = Served(folder.path, SECOND + ANSWER, rows=2, chunk=512, general=general)
    assert isinstance(served.runner._model, TransformersModel if general else Decoder)
    rings = [slots for slots in served.runner.cache.slots if isinstance(slots, RingSlots)]
    if general:
        assert (len(rings), {ring.window for ring in rings}) == (15, {512})
    docs = Path(__file__).parents[4] / "docs"
    pages = [docs / "architecture.md", docs / "engine.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    tokenizer = AutoTokenizer.from_pretrained(str(folder.path))
    tokens: list[int] = tokenizer(text).input_ids
    assert len(tokens) > SECOND
    [first] = served.asked([tokens[:FIRST]], count=8)
    asked = [*tokens[:FIRST], *first.tokens, *tokens[FIRST : SECOND - 8]]
    [second] = served.asked([asked], count=ANSWER)
    assert second.cached >= FIRST
    wanted = wanted_of(folder.path, tuple(asked))
    assert len(wanted) > ANSWER // 2  # no tie early on
    assert second.tokens[: len(wanted)] == wanted
