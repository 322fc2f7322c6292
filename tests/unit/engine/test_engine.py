"""The local engine with the real default model."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from streaming.engine.base import (
    ChatMessage,
    EngineError,
    Finished,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    Started,
    TextDelta,
)
from streaming.engine.local import LocalEngine
from streaming.engine.local.forward.decoder import Span
from streaming.engine.local.loading.model_loader import load_model
from streaming.engine.local.prompts.prompt import OnProgress
from streaming.engine.models.store import ModelFolder
from tests.unit.engine.gathered import PATIENCE, Gathered, ask

ids = (f"r{number}" for number in itertools.count())

QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "Write one sentence about the sea.",
    "What is two plus two?",
    "Who wrote Hamlet?",
    "Tell me a fact about cats. " * 5,
    "Why is the sky blue?",
    "Count to five.",
    "What is a verb?",
    "Give me a rhyme for moon.",
    "Describe winter. " * 12,
    "What do bees make?",
    "Where is Tokyo?",
    "What is bread made of?",
    "Say hello in Spanish.",
]


@pytest.fixture(scope="module")
def stock(model_folder: ModelFolder) -> Any:
    """The model as transformers runs it."""
    return load_model(model_folder.path, torch.float32)


def reference(model: Any, tokens: list[int], count: int) -> list[int]:
    """What transformers' own greedy generate answers."""
    with torch.inference_mode():
        output = model.generate(
            torch.tensor([tokens]),
            attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=2,
        )
    answer: list[int] = output[0, len(tokens) :].tolist()
    return answer[: answer.index(2)] if 2 in answer else answer


def is_idle(gathered: Gathered) -> bool:
    stats = gathered.engine.stats()
    return (stats.running, stats.pending, stats.free) == (0, 0, 16)


def test_it_knows_the_capital_of_france(gathered: Gathered) -> None:
    name = next(ids)
    finished = gathered.ask(name, "What is the capital of France?", max_tokens=40)
    assert "Paris" in gathered.text(name)
    assert "<|" not in gathered.text(name)
    assert finished.reason is FinishReason.STOP
    assert finished.completion_tokens == len(gathered.tokens(name))
    started = gathered.of(name)[0]
    assert isinstance(started, Started)
    assert finished.prompt_tokens == started.prompt_tokens > 0


def test_text_equals_generate_alone_and_in_a_crowd(gathered: Gathered, stock: Any) -> None:
    question = "Explain in two sentences what a queue is."
    alone, crowded = next(ids), next(ids)
    gathered.ask(alone, question, max_tokens=40)
    prompt = gathered.engine._stepper._prompts.encode((ChatMessage("user", question),))
    assert gathered.tokens(alone) == reference(stock, prompt, 40)
    others = [next(ids) for _ in QUESTIONS]
    for other, text in zip(others, QUESTIONS, strict=True):
        gathered.engine.submit(ask(other, text, max_tokens=30))
    gathered.ask(crowded, question, max_tokens=40)
    for other in others:
        gathered.wait(other)
    assert gathered.text(crowded) == gathered.text(alone)
    assert max(len(step.decoded) for step in gathered.steps(crowded)) > 10
    assert is_idle(gathered)


def test_a_seed_gives_the_same_answer_alone_and_in_a_crowd(gathered: Gathered) -> None:
    alone, crowded, other_seed = next(ids), next(ids), next(ids)
    hot: dict[str, Any] = {"temperature": 0.9, "top_k": 40, "max_tokens": 16}
    gathered.ask(alone, "Invent a name for a boat.", **hot, seed=11)
    others = [next(ids) for _ in range(6)]
    for seed, other in enumerate(others):
        gathered.engine.submit(ask(other, "Invent a word.", **{**hot, "top_k": 0}, seed=seed))
    gathered.ask(crowded, "Invent a name for a boat.", **hot, seed=11)
    for other in others:
        gathered.wait(other)
    gathered.ask(other_seed, "Invent a name for a boat.", **hot, seed=12)
    assert gathered.text(crowded) == gathered.text(alone) != gathered.text(other_seed)
    assert len({gathered.text(other) for other in others}) > 1


def test_a_long_prompt_does_not_stop_the_others(gathered: Gathered) -> None:
    short, long = [next(ids) for _ in range(3)], next(ids)
    for name in short:
        gathered.engine.submit(ask(name, "Tell me a long story.", max_tokens=60))
    for name in short:
        gathered.wait(name, TextDelta)
    gathered.engine.submit(ask(long, "one two three four five " * 600, max_tokens=2))
    finished = gathered.wait(long)
    assert isinstance(finished, Finished)
    assert finished.prompt_tokens >= 3000
    for name in short:
        gathered.wait(name)
    steps = gathered.steps(long)
    reading = [step for step in steps if long in step.prefilled]
    started = gathered.of(long)[0]
    assert isinstance(started, Started)
    read = sum(step.prefilled[long] for step in reading)
    assert read + started.cached_tokens == finished.prompt_tokens
    assert all(sum(step.prefilled.values()) <= 128 for step in gathered.engine.recent_steps())
    for name in short:
        own = [step.index for step in gathered.steps(name) if name in step.decoded]
        assert own == list(range(own[0], own[-1] + 1))  # not one step missed
        assert len(set(own) & {step.index for step in reading}) >= 20


def huge() -> GenerationRequest:
    texts = [f"{number} " + "la mi " * 5_000 for number in range(81)]
    roles = itertools.cycle(("user", "assistant"))
    messages = tuple(ChatMessage(role, text) for role, text in zip(roles, texts, strict=False))  # type: ignore[arg-type]
    newest = ChatMessage("user", "Hello")
    return GenerationRequest(next(ids), (*messages[:-1], newest), SamplingParams(2, 1))


def after_steps(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch, count: int
) -> tuple[list[bool], threading.Event]:
    """Have each prompt's preparation end only when so many steps were done since it began: what
    they say, and that one has begun."""
    prompts = gathered.engine._stepper._prompts
    fit = prompts.fit
    done: list[bool] = []
    begun = threading.Event()

    def slow(
        messages: Sequence[ChatMessage], limit: int, on_progress: OnProgress, **more: Any
    ) -> tuple[list[int], int]:
        if len(messages) > 1:
            begun.set()
            goal = gathered.engine.stats().steps + count
            until = time.monotonic() + 20
            while gathered.engine.stats().steps < goal and time.monotonic() < until:
                time.sleep(0.005)
            done.append(gathered.engine.stats().steps >= goal)
        return fit(messages, limit, on_progress, **more)

    monkeypatch.setattr(prompts, "fit", slow)
    return done, begun


def test_steps_go_on_while_a_huge_conversation_is_prepared(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, short = next(ids), next(ids)
    done, begun = after_steps(gathered, monkeypatch, 10)
    gathered.engine.submit(ask(reader, "Tell me a long story.", max_tokens=120, ignore_eos=True))
    gathered.wait(reader, TextDelta)
    large = huge()
    gathered.engine.submit(large)
    assert begun.wait(PATIENCE)
    assert gathered.engine.stats().pending == 1
    assert gathered.ask(short, "Hi", max_tokens=1).reason is FinishReason.LENGTH
    assert not done  # nobody's short prompt waits behind it
    started = gathered.wait(large.response_id, Started)
    assert isinstance(started, Started)
    assert started.trimmed_messages > 60
    assert done == [True]
    assert gathered.wait(large.response_id).reason is FinishReason.LENGTH
    gathered.wait(reader)
    own = [step.index for step in gathered.steps(reader) if reader in step.decoded]
    assert own == list(range(own[0], own[-1] + 1))  # not one step missed
    assert is_idle(gathered)


def test_cancel_while_a_prompt_is_prepared(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = next(ids)
    done, begun = after_steps(gathered, monkeypatch, 10)
    gathered.engine.submit(ask(reader, "Tell me a long story.", max_tokens=60, ignore_eos=True))
    gathered.wait(reader, TextDelta)
    large = huge()
    gathered.engine.submit(large)
    assert begun.wait(PATIENCE)
    gathered.engine.cancel(large.response_id)
    finished = gathered.wait(large.response_id)
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.CANCELLED
    assert not done  # at once
    gathered.engine.submit(large)  # the same id again, while the first is still being prepared
    assert gathered.wait(reader).reason is FinishReason.LENGTH
    while gathered.engine.stats().running or gathered.engine.stats().pending:
        time.sleep(0.01)
    events = [event for event in gathered.of(large.response_id) if isinstance(event, Finished)]
    assert [event.reason for event in events] == [FinishReason.CANCELLED, FinishReason.LENGTH]
    assert is_idle(gathered)
    gathered.events[:] = [e for e in gathered.events if e.response_id != large.response_id]


def test_every_running_response_advances_in_every_step(gathered: Gathered) -> None:
    names = [next(ids) for _ in range(20)]  # more than there are rows
    for name in names:
        gathered.engine.submit(ask(name, "Count upwards from one.", max_tokens=8))
    for name in names:
        gathered.wait(name)
        own = [step.index for step in gathered.steps(name) if name in step.decoded]
        assert own == list(range(own[0], own[0] + 8))
    assert max(len(step.decoded) for step in gathered.engine.recent_steps()) <= 16
    assert is_idle(gathered)


def test_prompts_that_are_not_admitted_yet_count_as_waiting(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper = gathered.engine._stepper
    step, budget = stepper._runner.step, stepper._prefill_budget.budget
    begun, go_on = threading.Event(), threading.Event()
    told: list[tuple[int, int]] = []

    def held(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(PATIENCE)
        return step(*args)

    def noted(decoding: int, reading: int, longest: int) -> int:
        told.append((decoding, reading))
        return budget(decoding, reading, longest)

    monkeypatch.setattr("streaming.engine.local.engine._ADMITTING_SECONDS", 0.0)  # one a turn
    monkeypatch.setattr(stepper._runner, "step", held)
    monkeypatch.setattr(stepper._prefill_budget, "budget", noted)
    first, *others = (next(ids) for _ in range(6))
    gathered.engine.submit(ask(first, "Count upwards from one."))
    assert begun.wait(PATIENCE)
    for name in others:
        gathered.engine.submit(ask(name, "Count upwards from one.", max_tokens=2))
    go_on.set()
    for name in (first, *others):
        gathered.wait(name)
    assert told[:2] == [(0, 1), (1, 5)]


@pytest.mark.parametrize("cut", range(1, 4))
def test_cancel_while_decoding_frees_the_row(gathered: Gathered, cut: int) -> None:
    names = [next(ids) for _ in range(3)]
    for name in names:
        gathered.engine.submit(ask(name, "Tell me about the moon.", max_tokens=12))
    victim = names[cut - 1]
    gathered.wait(victim, TextDelta)
    gathered.engine.cancel(victim)
    finished = gathered.wait(victim)
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.CANCELLED
    survivors = {name for name in names if name != victim}
    for name in survivors:
        gathered.wait(name)
    assert len({gathered.text(name) for name in survivors}) == 1
    assert is_idle(gathered)


def test_cancel_while_reading_the_prompt_frees_the_row(gathered: Gathered) -> None:
    name = next(ids)
    gathered.engine.submit(ask(name, "word " * 2900))
    gathered.wait(name, Started)
    gathered.engine.cancel(name)
    finished = gathered.wait(name)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert sum(step.prefilled.get(name, 0) for step in gathered.steps(name)) < 2900
    assert is_idle(gathered)


def test_cancel_while_pending(gathered: Gathered) -> None:
    running = [next(ids) for _ in range(16)]
    for name in running:
        gathered.engine.submit(ask(name, "Tell me a story.", max_tokens=40))
    waiting = next(ids)
    gathered.engine.submit(ask(waiting, "Me too."))
    gathered.engine.cancel(waiting)
    finished = gathered.wait(waiting)
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.CANCELLED
    assert not gathered.steps(waiting)
    for name in running:
        gathered.engine.cancel(name)
    for name in running:
        gathered.wait(name)
    gathered.engine.cancel("unknown")
    assert is_idle(gathered)


def test_continuing_at_every_split_repeats_and_loses_nothing(gathered: Gathered) -> None:
    question = "Repeat exactly: 日本語 café 🙂👍🏽 done"
    params: dict[str, Any] = {"max_tokens": 14, "repetition_penalty": 1.05}
    whole = next(ids)
    gathered.ask(whole, question, **params)
    tokens, text = gathered.tokens(whole), gathered.text(whole)
    deltas = [e for e in gathered.of(whole) if isinstance(e, TextDelta)]
    names = []
    for cut in range(len(tokens) + 1):
        names.append(next(ids))
        gathered.engine.submit(ask(names[-1], question, prior=tokens[:cut], **params))
    for cut, name in enumerate(names):
        finished = gathered.wait(name)
        assert isinstance(finished, Finished)
        published = "".join(delta.text for delta in deltas[:cut])
        assert published + gathered.text(name) == text
        assert tokens[:cut] + gathered.tokens(name) == tokens
        assert finished.completion_tokens == len(tokens)


def test_an_answer_goes_on_where_another_response_was_cut(gathered: Gathered) -> None:
    question = "Write one sentence about the sea."
    whole = next(ids)
    gathered.ask(whole, question, max_tokens=24)
    text = gathered.text(whole)
    words = text.split(" ")
    names = {}
    for count in range(1, len(words)):
        begun = " ".join(words[:count])
        names[next(ids)] = begun
        name = next(reversed(names))
        messages = (ChatMessage("user", question), ChatMessage("assistant", begun))
        params = SamplingParams(max_tokens=24, seed=1, temperature=0.0)
        gathered.engine.submit(GenerationRequest(name, messages, params))
    for name, begun in names.items():
        gathered.wait(name)
        answer = begun + gathered.text(name)
        assert answer.startswith(text) or text.startswith(answer), begun


def test_a_long_answer_is_continued_until_the_context_is_full(cache_dir: Path | None) -> None:
    """Asked for more and more, as by the page's Continue: nothing of the room is left."""
    context = 256
    engine = LocalEngine(None, device="cpu", dtype="float32", max_running=1,
                         context_tokens=context, cache_dir=cache_dir, progress=False)  # fmt: skip
    gathered = Gathered(engine)
    engine.start(gathered.sink)
    try:
        question, story = ChatMessage("user", "Tell a long story."), ""
        sizes: list[int] = []
        while True:
            messages = (question, *([ChatMessage("assistant", story)] if story else []))
            params = SamplingParams(60, 7, 0.0, ignore_eos=True)
            name = next(ids)
            engine.submit(GenerationRequest(name, messages, params))
            done = gathered.wait(name)
            assert isinstance(done, Finished)
            if done.reason is FinishReason.ERROR:
                break
            assert done.reason is FinishReason.LENGTH
            assert done.completion_tokens == min(60, context - done.prompt_tokens)
            sizes.append(done.prompt_tokens + done.completion_tokens)
            story += gathered.text(name)
            assert len(sizes) < 9
    finally:
        engine.close()
    assert sizes[-1] == context
    assert done.error_code == "context_full"
    assert "ask a new question" in done.error_message


def test_an_answer_goes_on_past_its_end_if_that_is_wanted(gathered: Gathered) -> None:
    ended, went_on = next(ids), next(ids)
    done = gathered.ask(ended, QUESTIONS[0], max_tokens=40)
    assert done.reason is FinishReason.STOP
    assert done.completion_tokens < 40
    done = gathered.ask(went_on, QUESTIONS[0], max_tokens=40, ignore_eos=True)
    assert (done.reason, done.completion_tokens) == (FinishReason.LENGTH, 40)
    assert gathered.text(went_on).startswith(gathered.text(ended))


def test_limits_and_stop_strings(gathered: Gathered) -> None:
    one, stopped, ended = next(ids), next(ids), next(ids)
    finished = gathered.ask(one, "Tell me a story.", max_tokens=1)
    assert (finished.reason, finished.completion_tokens) == (FinishReason.LENGTH, 1)
    question = "What is the capital of France?"
    gathered.ask(ended, question)
    finished = gathered.ask(stopped, question, stop=(" is Par", ""))
    assert finished.reason is FinishReason.STOP
    assert gathered.text(stopped) == gathered.text(ended).split(" is Par")[0]


def test_an_answer_may_be_empty(gathered: Gathered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered.engine._stepper, "_stop_ids", frozenset(range(49152)))
    name = next(ids)
    finished = gathered.ask(name, "Hello")
    assert (finished.reason, finished.completion_tokens) == (FinishReason.STOP, 0)
    assert gathered.text(name) == ""


def test_old_turns_are_trimmed_and_told(gathered: Gathered) -> None:
    messages = [ChatMessage("system", "Answer briefly.")]
    for _ in range(12):
        messages += [ChatMessage("user", "la " * 400), ChatMessage("assistant", "mi " * 100)]
    messages.append(ChatMessage("user", "What is the capital of France?"))
    name = next(ids)
    params = SamplingParams(max_tokens=3, seed=1, temperature=0.0)
    gathered.engine.submit(GenerationRequest(name, tuple(messages), params))
    finished = gathered.wait(name)
    started = gathered.of(name)[0]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.trimmed_messages > 0
    assert started.trimmed_messages % 2 == 0
    kept = [messages[0], *messages[1 + started.trimmed_messages :]]
    assert started.prompt_tokens == len(gathered.engine._stepper._prompts.encode(kept)) <= 4093
    longer = [messages[0], *messages[started.trimmed_messages - 1 :]]
    assert len(gathered.engine._stepper._prompts.encode(longer)) > 4093


def test_nothing_is_left_out_where_that_is_not_allowed(gathered: Gathered) -> None:
    secret = ChatMessage("user", "The secret word is BANANA. " + "la " * 4200)
    messages = (secret, ChatMessage("assistant", "Ok."), ChatMessage("user", "What is it?"))
    prompts = gathered.engine._stepper._prompts
    taken = len(prompts.encode(messages))
    name, params = next(ids), SamplingParams(max_tokens=3, seed=1, temperature=0.0)
    gathered.engine.submit(GenerationRequest(name, messages, params, trims=False))
    finished = gathered.wait(name)
    assert isinstance(finished, Finished)
    assert finished.error_code == "context_length_exceeded"
    assert finished.error_message.startswith("This model's maximum context length is 4096 tokens,")
    assert f" {taken}." in finished.error_message
    # Most of it was not read at all: how much it is, nobody counts.
    name = next(ids)
    gathered.engine.submit(GenerationRequest(name, messages, params, left_out=2, trims=False))
    finished = gathered.wait(name)
    assert isinstance(finished, Finished)
    assert "the messages take more." in finished.error_message


@pytest.mark.parametrize(
    ("request_params", "text", "code"),
    [
        ({}, "word " * 5000, "input_too_long"),
        ({"max_tokens": 0}, "Hi", "invalid_params"),
        ({"temperature": float("nan")}, "Hi", "invalid_params"),
        ({"top_p": 0.0}, "Hi", "invalid_params"),
        ({"prior": (10**9,)}, "Hi", "invalid_params"),
    ],
)
def test_a_faulty_request_fails_alone(
    gathered: Gathered, request_params: dict[str, Any], text: str, code: str
) -> None:
    good = next(ids)
    gathered.engine.submit(ask(good, "Count to ten.", max_tokens=5))
    finished = gathered.ask(next(ids), text, **request_params)
    assert (finished.reason, finished.error_code) == (FinishReason.ERROR, code)
    assert finished.error_message.endswith(".")
    finished = gathered.wait(good)
    assert finished.reason is FinishReason.LENGTH
    assert is_idle(gathered)


@pytest.mark.parametrize("text", ["", "\x00", "a\ud800b", "\udc00", "\ud83d\ude42", "\u202e<|"])
def test_strange_text_is_answered(gathered: Gathered, text: str) -> None:
    finished = gathered.ask(next(ids), text, max_tokens=2)
    assert finished.reason is not FinishReason.ERROR


def test_a_failing_step_fails_the_running_and_serves_the_next(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = [next(ids) for _ in range(3)]
    for name in names:
        gathered.engine.submit(ask(name, "Tell me a story.", max_tokens=200))
    for name in names:
        gathered.wait(name, TextDelta)

    def explode(*_: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(gathered.engine._stepper._runner, "step", explode)
        for name in names:
            finished = gathered.wait(name)
            assert (finished.reason, finished.error_code) == (FinishReason.ERROR, "engine_error")
    assert "out of memory" in caplog.text
    assert is_idle(gathered)
    after = next(ids)
    gathered.ask(after, "What is the capital of France?")
    assert "Paris" in gathered.text(after)


def test_nan_fails_its_own_response_only(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = next(ids), next(ids)
    alone = next(ids)
    gathered.ask(alone, "Name a fruit.", max_tokens=12)
    step = gathered.engine._stepper._runner.step

    def poison(
        tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> torch.Tensor:
        logits = step(tokens, positions, spans)
        rows = gathered.engine._stepper._scheduler.running
        for sequence in rows[: len(tokens)]:
            if sequence.id == bad:
                logits[sequence.row] = float("nan")
                for slots in gathered.engine._stepper._runner.cache.slots:
                    slots.values[sequence.row].fill_(float("nan"))
        return logits

    with monkeypatch.context() as patch:
        patch.setattr(gathered.engine._stepper._runner, "step", poison)
        gathered.engine.submit(ask(bad, "Hi", max_tokens=50))
        gathered.engine.submit(ask(good, "Name a fruit.", max_tokens=12))
        assert gathered.wait(bad).reason is FinishReason.ERROR
        gathered.wait(good)
    assert gathered.text(good) == gathered.text(alone)
    after = [next(ids) for _ in range(2)]
    for name in after:  # a row that held NaN must be clean for its next occupant
        gathered.engine.submit(ask(name, "Name a fruit.", max_tokens=12))
    for name in after:
        gathered.wait(name)
        assert gathered.text(name) == gathered.text(alone)


def test_an_exception_in_one_response_fails_that_one(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = next(ids), next(ids)
    append = gathered.engine._stepper._append

    def fragile(sequence: Any, token: int) -> None:
        if sequence.id == bad:
            raise ValueError("broken text")
        append(sequence, token)

    monkeypatch.setattr(gathered.engine._stepper, "_append", fragile)
    gathered.engine.submit(ask(good, "Count to ten.", max_tokens=5))
    assert gathered.ask(bad, "Hi").error_code == "engine_error"
    assert gathered.wait(good).reason is FinishReason.LENGTH
    assert is_idle(gathered)


def test_a_raising_sink_does_not_stop_the_engine(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(events: Any) -> None:
        gathered.sink(events)
        raise RuntimeError("reader is gone")

    with monkeypatch.context() as patch:
        patch.setattr(gathered.engine, "_sink", raising)
        assert gathered.ask(next(ids), "Hi", max_tokens=3).reason is FinishReason.LENGTH
    assert gathered.engine.stats().alive


def test_one_call_of_the_sink_holds_a_whole_step(gathered: Gathered) -> None:
    names = {next(ids) for _ in range(4)}
    for name in names:
        gathered.engine.submit(ask(name, "Count.", max_tokens=10))
    for name in names:
        gathered.wait(name)
    together = [
        call
        for call in gathered.calls
        if {e.response_id for e in call if isinstance(e, TextDelta)} == names
    ]
    assert together


def test_steps_are_logged_as_json(gathered: Gathered, caplog: pytest.LogCaptureFixture) -> None:
    name = next(ids)
    with caplog.at_level(logging.DEBUG, "streaming.engine.steps"):
        gathered.ask(name, "Hi", max_tokens=3)
    lines = [json.loads(r.message) for r in caplog.records if r.name == "streaming.engine.steps"]
    assert [line["decoded"] for line in lines][:3] == [[name]] * 3
    assert lines[0]["prefilled"][name] > 0


def test_finished_exactly_once_and_last(gathered: Gathered) -> None:
    """Over everything that the tests above did."""
    for name in {event.response_id for event in gathered.events}:
        events = gathered.of(name)
        finished = [event for event in events if isinstance(event, Finished)]
        assert len(finished) == 1
        assert events[-1] is finished[0]
        assert finished[0].completion_tokens >= len(gathered.tokens(name))


def test_close_finishes_everything_and_refuses_more(
    cache_dir: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(None, dtype="float32", max_running=2, cache_dir=cache_dir)
    with pytest.raises(EngineError):
        engine.submit(ask("early", "Hi"))
    with pytest.raises(EngineError):
        _ = engine.info
    other = Gathered(engine)
    engine.start(other.sink)
    names = [next(ids) for _ in range(4)]
    for name in names:
        engine.submit(ask(name, "Tell me a story.", max_tokens=500))
    with pytest.raises(EngineError, match="already open"):
        engine.submit(ask(names[0], "Again"))
    other.wait(names[0], TextDelta)
    prepared = threading.Event()
    monkeypatch.setattr(engine._stepper._prompts, "fit", lambda *_: prepared.wait(PATIENCE))
    names.append(next(ids))
    engine.submit(ask(names[-1], "I am just being prepared."))
    engine.close()
    prepared.set()
    for name in names:
        events = [e for e in other.of(name) if isinstance(e, Finished)]
        assert [e.reason for e in events] == [FinishReason.CANCELLED]
    assert not engine.stats().alive
    with pytest.raises(EngineError):
        engine.submit(ask("late", "Hi"))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"device": "warp"}, "CHATSTREAM_DEVICE=warp"),
        ({"dtype": "int3"}, "CHATSTREAM_DTYPE=int3"),
        ({"context_tokens": 100_000}, "CHATSTREAM_CONTEXT_TOKENS=100000"),
    ],
)
def test_a_wrong_setting_is_named(
    cache_dir: Path | None, arguments: dict[str, Any], names: str
) -> None:
    engine = LocalEngine(None, cache_dir=cache_dir, max_running=1, **arguments)
    with pytest.raises(EngineError, match=names):
        engine.start(lambda events: None)


@pytest.mark.parametrize(
    ("max_rows", "device", "rows"),
    [(None, "cpu", 4), (0, "cpu", 8), (0, "cuda", 4), (6, "cpu", 6), (6, "cuda", 6), (3, "cpu", 4)],
)
def test_rows_beyond_the_running_ones(max_rows: int | None, device: str, rows: int) -> None:
    engine = LocalEngine(max_running=4, max_rows=max_rows)
    assert engine._loader.rows(torch.device(device), 4) == rows


def test_memory_and_speed_are_told(gathered: Gathered, stock: Any) -> None:
    name = next(ids)
    gathered.engine.submit(
        GenerationRequest(name, (ChatMessage("user", "Count to 300."),), SamplingParams(500, 1))
    )
    gathered.wait(name, TextDelta)
    stats = gathered.engine.stats()
    config = stock.config
    token = 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    assert stats.kv_bytes == 16 * gathered.engine.info.context_tokens * token
    assert 0 < stats.kv_bytes_used < stats.kv_bytes / 16
    assert stats.kv_bytes_used % token == 0
    assert stats.tokens_per_second > 0
    gathered.engine.cancel(name)
    gathered.wait(name)
    assert gathered.engine.stats().kv_bytes_used == 0
