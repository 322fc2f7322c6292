"""A model that thinks, step by step: what it says is a script, all else is the engine's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from streaming.engine.base import (
    Channel,
    ChatMessage,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    TextDelta,
    Thinking,
)
from streaming.engine.local import LocalEngine
from streaming.engine.local.prompts.preparer import Preparer
from streaming.engine.local.stepper import Stepper
from tests.support.spoken import SPOKEN, TEXT, THOUGHT, answers_of, joined, prompt_of
from tests.support.thinking_tokenizers import save_thinking_model, tokenizer_of
from tests.unit.engine.gathered import Gathered

CONTEXT = 2048
ASKED = (ChatMessage("user", "What is two plus two?"),)


class Prompts:
    """transformers' own prompts, and how the answers to them are read."""

    def __init__(self, family: str, **variables: Any) -> None:
        self.tokenizer = tokenizer_of(family)
        self.answers = answers_of(self.tokenizer)
        self.prompt = prompt_of(self.tokenizer, ASKED, **variables)
        self.stop_ids = self.answers.stop_ids

    def fit(self, *told: Any, **too: Any) -> tuple[list[int], int]:
        return self.prompt, 0


class Scripted:
    """A model that says `script` after a prompt, and then ends its turn."""

    is_exact = False
    context_tokens = CONTEXT
    turns_at = None
    end_ids: Sequence[int] = ()

    def __init__(self, prompts: Prompts, script: Sequence[int], vocabulary: int) -> None:
        (end, *_) = prompts.stop_ids(())
        self._after = [*script, *[end] * CONTEXT]
        self._start, self._vocabulary = len(prompts.prompt), vocabulary
        nothing: Callable[..., None] = lambda *told: None  # noqa: E731
        self.cache = SimpleNamespace(
            swap_rows=nothing, copy_row=nothing, holds=lambda length, reach: True,
            progress=0, bytes=0, bytes_per_token=0,
        )  # fmt: skip
        self.clear_row = self.recover = nothing

    def step(self, tokens: Any, positions: Sequence[int], spans: Sequence[Any] = ()) -> Any:
        seen = [*(at + 1 for at in positions), *(s.start + len(s.tokens) for s in spans)]
        logits = torch.zeros(len(seen), self._vocabulary)
        for row, length in enumerate(seen):
            logits[row, self._after[length - self._start]] = 9.0
        return logits


class Run:
    """One response: its events, and how they are read."""

    def __init__(
        self, prompts: Prompts, script: Sequence[int], *, prior: Sequence[int] = (),
        thought: int = 0, cancel_after: int = 0, **params: Any,
    ) -> None:  # fmt: skip
        vocabulary = len(prompts.tokenizer)
        runner: Any = Scripted(prompts, script, vocabulary)
        stepper = Stepper(runner, prompts, 2, 64)  # type: ignore[arg-type]
        preparer = Preparer(prompts, CONTEXT, vocabulary)  # type: ignore[arg-type]
        values = {"max_tokens": 500, "seed": 1, "temperature": 0.0, **params}
        request = GenerationRequest(
            "r", ASKED, SamplingParams(**values), tuple(prior),
            thinking=Thinking(max_tokens=thought),
        )  # fmt: skip
        stepper.begin(preparer.prepare(request, lambda: None))
        self.events: list[EngineEvent] = stepper.take_events()
        steps = 0
        while stepper.running:
            if cancel_after and steps == cancel_after:
                stepper.cancel("r")
            stepper.step()
            steps += 1
            self.events += stepper.take_events()

    @property
    def deltas(self) -> list[TextDelta]:
        return [event for event in self.events if isinstance(event, TextDelta)]

    @property
    def tokens(self) -> list[int]:
        return [token for delta in self.deltas for token in delta.tokens]

    @property
    def said(self) -> tuple[str, str]:
        return joined((delta.channel, delta.text) for delta in self.deltas)

    @property
    def finished(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last


THINKING = [spoken for spoken in SPOKEN if spoken.thought]


@pytest.mark.parametrize("spoken", THINKING, ids=lambda spoken: spoken.family)
def test_thought_and_text_come_by_channel(spoken: Any) -> None:
    prompts = Prompts(spoken.family, **spoken.variables)
    script = prompts.tokenizer.encode(spoken.raw, add_special_tokens=False)
    run = Run(prompts, script)
    assert run.said == (THOUGHT, TEXT)
    assert run.tokens == script  # each once, in order
    assert run.finished.reason is FinishReason.STOP
    assert run.finished.completion_tokens == len(script)
    assert 0 < run.finished.reasoning_tokens < len(script)


@pytest.mark.parametrize("family", ["qwen3", "harmony", "command_r", "gemma4"])
def test_a_crash_anywhere_changes_nothing(family: str) -> None:
    """In a thought, in a delimiter, in the words that end a thought, in the answer after it."""
    spoken = next(spoken for spoken in THINKING if spoken.family == family)
    raw = spoken.written.replace("{thought}", "hm " * 30).replace("{text}", "Four. 🙂 Is that so?")
    prompts = Prompts(family, **spoken.variables)
    opening = spoken.written.partition("{thought}")[0]
    script = prompts.tokenizer.encode(raw, add_special_tokens=False)
    # What the model says once its thought has been ended: the same at the same place.
    first = Run(prompts, script, thought=12, max_tokens=20)
    said, tokens = first.said, first.tokens
    assert said[0]
    assert len(prompts.tokenizer.encode(opening + said[0])) < 30
    for cut in range(len(tokens)):
        before = joined((d.channel, d.text) for d in first.deltas[:cut] if d.tokens)
        again = Run(prompts, script, prior=tokens[:cut], thought=12, max_tokens=20)
        assert again.tokens == tokens[cut:], cut
        after = again.said
        assert (before[0] + after[0], before[1] + after[1]) == said, cut
        assert again.finished == first.finished


def test_a_thought_does_not_take_the_answers_tokens() -> None:
    prompts = Prompts("qwen3")
    raw = "<think>\n" + "hm " * 300 + "\n</think>\n\n" + "Four. " * 50
    script = prompts.tokenizer.encode(raw, add_special_tokens=False)
    run = Run(prompts, script, max_tokens=20)
    thought, text = run.said
    assert thought == ("hm " * 300).rstrip()
    assert text.startswith("Four.")
    finished = run.finished
    assert finished.reason is FinishReason.LENGTH
    assert finished.completion_tokens - finished.reasoning_tokens == 20


def test_a_thought_of_too_many_tokens_is_ended() -> None:
    prompts = Prompts("qwen3")
    script = prompts.tokenizer.encode("<think>\n" + "hm " * 300, add_special_tokens=False)
    run = Run(prompts, script, thought=10, max_tokens=5)
    closing = prompts.tokenizer.encode("\n</think>\n\n", add_special_tokens=False)
    assert run.tokens[:10] == script[:10]
    assert run.tokens[10:13] == closing
    assert run.finished.reasoning_tokens == 12  # the delimiter's are its own
    assert len(run.tokens) == run.finished.reasoning_tokens + 5
    assert run.said[1].startswith("hm")


def test_a_thought_leaves_room_for_an_answer_in_the_context() -> None:
    prompts = Prompts("qwen3")
    script = prompts.tokenizer.encode("<think>\n" + "hm " * CONTEXT, add_special_tokens=False)
    run = Run(prompts, script[: 2 * CONTEXT], max_tokens=CONTEXT)
    left = CONTEXT - len(prompts.prompt)
    assert run.finished.reason is FinishReason.LENGTH
    assert run.finished.completion_tokens == left
    assert left // 10 < left - run.finished.reasoning_tokens <= left // 8
    assert run.said[1].startswith("hm")


def test_stop_strings_and_the_end_of_a_turn_in_a_thought() -> None:
    prompts = Prompts("qwen3")
    encode = prompts.tokenizer.encode
    run = Run(prompts, encode("<think>\nSTOP here\n</think>\n\nFour STOP five"), stop=("STOP",))
    assert run.said == ("STOP here", "Four ")
    assert run.finished.reason is FinishReason.STOP
    run = Run(prompts, encode("<think>\nHm."))
    assert (run.said, run.finished.reason) == (("Hm.", ""), FinishReason.STOP)
    assert run.finished.reasoning_tokens == run.finished.completion_tokens


def test_a_cancelled_thought_is_counted() -> None:
    prompts = Prompts("qwen3")
    script = prompts.tokenizer.encode("<think>\n" + "hm " * 100, add_special_tokens=False)
    run = Run(prompts, script, cancel_after=9)
    assert run.finished.reason is FinishReason.CANCELLED
    assert run.finished.reasoning_tokens == run.finished.completion_tokens == 9
    assert run.said[1] == ""


def test_an_answer_goes_on_past_its_end_if_that_is_wanted() -> None:
    prompts = Prompts("harmony")
    raw = "<|channel|>final<|message|>Four.<|end|>"
    run = Run(prompts, prompts.tokenizer.encode(raw), ignore_eos=True, max_tokens=30)
    assert run.finished.reason is FinishReason.LENGTH
    run = Run(prompts, prompts.tokenizer.encode(raw), max_tokens=30)
    assert (run.said, run.finished.reason) == (("", "Four."), FinishReason.STOP)
    assert run.finished.completion_tokens == len(prompts.tokenizer.encode(raw)) - 1


def test_a_model_that_does_not_think_is_read_as_before() -> None:
    prompts = Prompts("llama3")
    script = prompts.tokenizer.encode("\n<think>Four</think>", add_special_tokens=False)
    run = Run(prompts, script, max_tokens=30)
    assert run.said == ("", "\n<think>Four</think>")
    assert run.finished.reasoning_tokens == 0


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gathered]:
    """A tiny model, whose template opens a thought; what it says is noise, but always the same."""
    folder = tmp_path_factory.mktemp("thinking")
    save_thinking_model(folder, layers=1, context=512)
    engine = LocalEngine(
        str(folder), device="cpu", dtype="float32", max_running=4, cache_dir=folder, threads=1,
        progress=False,
    )  # fmt: skip
    gathered = Gathered(engine)
    engine.start(gathered.sink)
    yield gathered
    engine.close()


def test_in_the_engine_a_thought_is_bounded_and_survives_a_crash(gathered: Gathered) -> None:
    assert gathered.engine.info.thinks

    def ask(name: str, prior: Sequence[int] = ()) -> Finished:
        params = SamplingParams(max_tokens=12, seed=3, temperature=1.0, ignore_eos=True)
        request = GenerationRequest(
            name, ASKED, params, tuple(prior), thinking=Thinking(max_tokens=8)
        )
        gathered.engine.submit(request)
        finished = gathered.wait(name)
        assert isinstance(finished, Finished)
        return finished

    finished, tokens = ask("whole"), gathered.tokens("whole")
    deltas = [event for event in gathered.of("whole") if isinstance(event, TextDelta)]
    closing = tokenizer_of("deepseek_r1").encode("\n</think>\n\n", add_special_tokens=False)
    assert tokens[8:11] == closing
    assert (finished.reason, finished.reasoning_tokens) == (FinishReason.LENGTH, 10)
    assert len(tokens) == finished.completion_tokens == 22
    assert {delta.channel for delta in deltas[:8]} == {Channel.REASONING}
    assert {delta.channel for delta in deltas[11:]} == {Channel.TEXT}
    for cut in (0, 4, 8, 9, 10, 11, 15):
        again = ask(f"cut {cut}", tokens[:cut])
        assert gathered.tokens(f"cut {cut}") == tokens[cut:]
        assert again.reasoning_tokens == 10
        came = [event for event in gathered.of(f"cut {cut}") if isinstance(event, TextDelta)]
        assert [(d.channel, d.text) for d in came] == [(d.channel, d.text) for d in deltas[cut:]]
