"""An answer is the same whether what came before it is still in the cache or read anew."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from streaming.engine.base import ChatMessage, GenerationRequest, SamplingParams, Started
from streaming.engine.local import LocalEngine, linear
from streaming.engine.local.bags import can_bag
from streaming.engine.model_store import ModelFolder
from tests.prerequisites import missing
from tests.unit.engine.gathered import Gathered

ids = (f"lost{number}" for number in itertools.count())

HISTORY = "Describe the history of the bicycle."
TOKENS = 90
UNRELATED = [
    f"Tell me something about {subject}."
    for subject in ("rain", "bread", "chess", "Mars", "bees", "salt",
                    "opera", "glass", "tides", "maps", "silk", "owls")
]  # fmt: skip


@pytest.fixture(scope="module", params=["int8", "bfloat16", "float32"])
def engine(
    request: pytest.FixtureRequest, model_folder: ModelFolder, cache_dir: Path | None
) -> Iterator[Gathered]:
    """An engine of four rows, in each format that `auto` may choose on a CPU."""
    if not can_bag(torch.device("cpu")):
        missing("torch with fbgemm")
    if request.param == "int8" and not linear.can_int8():
        missing("torch with an 8-bit product for this CPU")
    engine = LocalEngine(
        None, device="cpu", dtype=request.param, max_running=4, context_tokens=1024,
        cache_dir=cache_dir, progress=False,
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
        for id_ in [self.begin(text, tokens=8) for text in UNRELATED]:
            self.end(id_)


@pytest.fixture
def talk(engine: Gathered) -> Talk:
    return Talk(engine)


@pytest.mark.parametrize("sampled", [{}, {"temperature": 0.8, "top_p": 0.95}])
def test_a_second_turn_is_the_same_after_its_cache_is_lost(
    talk: Talk, sampled: dict[str, float]
) -> None:
    first, _ = talk.ask(HISTORY, **sampled)
    warm = talk.ask(HISTORY, first, "Go on\u2026", **sampled)
    assert len(warm[1]) > 20
    talk.displace()
    anew = talk.begin(HISTORY, first, "Go on\u2026", **sampled)
    assert talk.cached(anew) < 30  # the template's first words
    assert talk.end(anew) == warm


def test_an_answer_goes_on_after_a_crash_as_it_would_have(talk: Talk) -> None:
    """The tokens that were published are all that is left of the attempt before."""
    first, _ = talk.ask(HISTORY)
    text, tokens = talk.ask(HISTORY, first, "Go on\u2026")
    for cut in (1, 33, len(tokens) - 2):
        talk.displace()
        goes_on = talk.ask(HISTORY, first, "Go on\u2026", prior=tuple(tokens[:cut]))
        assert goes_on[1] == tokens[cut:], cut
        assert text.endswith(goes_on[0])


def test_a_crowd_changes_nothing(talk: Talk) -> None:
    """Alone and warm; cold, in steps with others who read and write; after a crash, likewise."""
    first, _ = talk.ask(HISTORY)
    alone = talk.ask(HISTORY, first, "Go on\u2026")
    talk.displace()
    others = [talk.begin(text, tokens=60) for text in UNRELATED[:3]]
    assert talk.ask(HISTORY, first, "Go on\u2026") == alone
    for id_ in others:
        talk.end(id_)
    talk.displace()
    others = [talk.begin(text * 9, tokens=60) for text in UNRELATED[:3]]
    assert talk.ask(HISTORY, first, "Go on\u2026", prior=tuple(alone[1][:50]))[1] == alone[1][50:]
    for id_ in others:
        talk.end(id_)


def test_what_is_continued_by_another_response_is_the_same_too(talk: Talk) -> None:
    first, _ = talk.ask(HISTORY, tokens=40)
    warm = talk.ask(HISTORY, first)
    talk.displace()
    assert talk.ask(HISTORY, first) == warm
