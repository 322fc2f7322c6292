"""An answer is the same whether what came before it is still in the cache or read anew."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import Gemma3TextConfig

from streaming.engine.base import ChatMessage, GenerationRequest, SamplingParams, Started
from streaming.engine.local import LocalEngine
from streaming.engine.local.attention.embedding_bag import can_bag
from streaming.engine.local.forward import linear
from streaming.engine.models.store import ModelFolder
from tests.support.prerequisites import missing
from tests.unit.engine.gathered import Gathered
from tests.unit.engine.test_decoder import folder

ids = (f"lost{number}" for number in itertools.count())

HISTORY = "Describe the history of the bicycle."
GO_ON = "Go on\u2026"
TOKENS = 90
UNRELATED = [
    f"Tell me something about {subject}."
    for subject in ("rain", "bread", "chess", "Mars", "bees", "salt",
                    "opera", "glass", "tides", "maps", "silk", "owls")
]  # fmt: skip


WINDOW = 48  # tokens: less than a turn has


def gemma_like(path: Path, default: ModelFolder) -> Path:
    """Windows, norms and turnings as of Gemma 3, weights of chance, the default model's tokenizer.

    Its answers have no end but the limit."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(default.path / name, path / name)
    words = json.loads((default.path / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    config = Gemma3TextConfig(
        vocab_size=words, hidden_size=96, intermediate_size=1144, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=1, head_dim=32, query_pre_attn_scalar=32,
        max_position_embeddings=1024, sliding_window=WINDOW, eos_token_id=0, pad_token_id=0,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    )  # fmt: skip
    return folder(path, config)


@pytest.fixture(
    scope="module",
    params=["int8", "bfloat16", "float32", "windows-int8", "windows-bfloat16", "windows-float32"],
)
def engine(
    request: pytest.FixtureRequest, model_folder: ModelFolder, cache_dir: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gathered]:  # fmt: skip
    """An engine of four rows, in each format that `auto` may choose on a CPU: of the default model,
    and of one with windows."""
    windows, _, dtype = request.param.rpartition("-")
    if not can_bag(torch.device("cpu")):
        missing("torch with fbgemm")
    if dtype == "int8" and not linear.can_int8():
        missing("torch with an 8-bit product for this CPU")
    model = windows and str(gemma_like(tmp_path_factory.mktemp("model"), model_folder))
    engine = LocalEngine(
        model or None, device="cpu", dtype=dtype, max_running=4, context_tokens=1024,
        cache_dir=tmp_path_factory.mktemp("cache") if windows else cache_dir, progress=False,
    )  # fmt: skip
    gathered = Gathered(engine)
    engine.start(gathered.sink)
    yield gathered
    engine.close()


class Talk:
    """Asks greedily, under ids of its own."""

    def __init__(self, engine: Gathered) -> None:
        self._engine = engine

    def begin(
        self, *texts: str, prior: tuple[int, ...] = (), tokens: int = TOKENS, **params: float
    ) -> str:
        """Ask with the user's and the assistant's texts in turn; the response's id."""
        messages = tuple(
            ChatMessage("assistant" if at % 2 else "user", text) for at, text in enumerate(texts)
        )
        values = {"temperature": 0.0, **params}
        sampling = SamplingParams(tokens, 7, **values)
        id_ = next(ids)
        self._engine.engine.submit(GenerationRequest(id_, messages, sampling, prior))
        return id_

    def end(self, id_: str) -> tuple[str, list[int]]:
        self._engine.wait(id_)
        return self._engine.text(id_), self._engine.tokens(id_)

    def ask(self, *texts: str, **how: object) -> tuple[str, list[int]]:
        return self.end(self.begin(*texts, **how))  # type: ignore[arg-type]

    def cached(self, id_: str) -> int:
        started = self._engine.wait(id_, Started)
        assert isinstance(started, Started)
        return started.cached_tokens

    def displace(self) -> None:
        """Twelve unrelated prompts, as many at a time as there are rows."""
        for id_ in [self.begin(text, tokens=2) for text in UNRELATED]:
            self.end(id_)


@pytest.fixture(scope="module")
def talk(engine: Gathered) -> Talk:
    return Talk(engine)


Turns = tuple[str, tuple[str, list[int]]]
"""The first answer's text; the second's text and tokens."""


def two_turns(talk: Talk, **sampled: float) -> Turns:
    """What they say one after the other, alone, the second with its cache."""
    first, _ = talk.ask(HISTORY, **sampled)
    return first, talk.ask(HISTORY, first, GO_ON, **sampled)


@pytest.fixture(scope="module")
def undisturbed(talk: Talk) -> Turns:
    """Two greedy turns, asked once for all tests of an engine."""
    return two_turns(talk)


@pytest.mark.parametrize("sampled", [{}, {"temperature": 0.8, "top_p": 0.95}])
def test_a_second_turn_is_the_same_after_its_cache_is_lost(
    talk: Talk, undisturbed: Turns, sampled: dict[str, float]
) -> None:
    first, warm = two_turns(talk, **sampled) if sampled else undisturbed
    assert len(warm[1]) > 20
    talk.displace()
    anew = talk.begin(HISTORY, first, GO_ON, **sampled)
    assert talk.cached(anew) < 30  # the template's first words
    assert talk.end(anew) == warm


def test_an_answer_goes_on_after_a_crash_as_it_would_have(talk: Talk, undisturbed: Turns) -> None:
    """The tokens that were published are all that is left of the attempt before."""
    first, (text, tokens) = undisturbed
    for cut in (1, 33, len(tokens) - 2):
        talk.displace()
        goes_on = talk.ask(HISTORY, first, GO_ON, prior=tuple(tokens[:cut]))
        assert goes_on[1] == tokens[cut:], cut
        assert text.endswith(goes_on[0])


def test_a_crowd_changes_nothing(talk: Talk, undisturbed: Turns) -> None:
    """Alone and warm; cold, in steps with others who read and write; after a crash, likewise."""
    first, alone = undisturbed
    talk.displace()
    others = [talk.begin(text, tokens=60) for text in UNRELATED[:3]]
    assert talk.ask(HISTORY, first, GO_ON) == alone
    for id_ in others:
        talk.end(id_)
    talk.displace()
    others = [talk.begin(text * 9, tokens=60) for text in UNRELATED[:3]]
    assert talk.ask(HISTORY, first, GO_ON, prior=tuple(alone[1][:50]))[1] == alone[1][50:]
    for id_ in others:
        talk.end(id_)


def test_what_is_continued_by_another_response_is_the_same_too(talk: Talk) -> None:
    first, _ = talk.ask(HISTORY, tokens=40)
    warm = talk.ask(HISTORY, first)
    talk.displace()
    assert talk.ask(HISTORY, first) == warm
