"""Serves a tiny random model as the engine does, and asks transformers' own `generate` the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from streaming.engine.base import Finished, FinishReason, GenerationRequest, SamplingParams
from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.local.prompts.preparer import Prepared
from streaming.engine.local.runner import ModelRunner
from streaming.engine.local.sequence import TokenSequence
from streaming.engine.local.stepper import Stepper
from streaming.engine.models.support import reason_against
from tests.unit.engine.families.configurations import CONTEXT, WITH_MORE, configuration

CHUNK = 24
ROWS = 4
ANSWER = 10  # tokens
_TIE = 1e-4
"""A smaller gap between the best two logits, in their spread, is rounding's to decide."""


class _Prompts:
    """The model never ends by itself."""

    def stop_ids(self, end_ids: list[int]) -> set[int]:
        return set()


def prompt_of(length: int, start: int) -> list[int]:
    """Tokens without any pattern."""
    return [(start + 37 * number + number * number % 11) % 190 + 5 for number in range(length)]


PROMPTS = [prompt_of(*each) for each in ((3, 1), (21, 60), (100, 150), (60, 90))]
"""A short one, one of a chunk and more than a window, two of several chunks; the last one's answer
goes on beyond longrope's first length."""


def shake(model: Any, seed: int = 0) -> Any:
    """Random weights that make every part count: those of a new model leave biases at zero, norms
    at one, and logits nearly alike."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
        else:
            torch.nn.init.uniform_(parameter, 0.2, 1.2)
    return model.eval()


def expected(model: Any, prompt: list[int], count: int = ANSWER) -> list[int]:
    """What `generate` answers, up to the first tie."""
    with torch.inference_mode():
        output = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
    answer: list[int] = output.sequences[0, len(prompt) :].tolist()
    for at, logits in enumerate(output.logits):
        best = logits[0].float().topk(2).values
        if best[0] - best[1] < _TIE * logits.std():
            return answer[:at]
    return answer


@dataclass
class Answer:
    tokens: list[int]
    cached: int
    """So many tokens of the prompt need not have been read."""


class Served:
    """A model in `path`, served by its engine's stepper; `asked` starts its prompts one step after
    another."""

    def __init__(
        self, path: Path, context: int = CONTEXT, rows: int = ROWS, chunk: int = CHUNK,
        *, general: bool = False,
    ) -> None:  # fmt: skip
        cpu = torch.device("cpu")
        self.runner = ModelRunner(path, cpu, "float32", rows, context, general=general)
        self._stepper = Stepper(self.runner, _Prompts(), rows, chunk)  # type: ignore[arg-type]
        self._names = (f"r{number}" for number in itertools.count())

    def asked(
        self, prompts: list[list[int]], cancelled: frozenset[int] = frozenset(),
        count: int = ANSWER,
    ) -> list[Answer]:  # fmt: skip
        """Answers to prompts that come one step after another; those `cancelled` (numbers) are
        once they have had three tokens."""
        sequences: list[TokenSequence] = []
        answers: list[Answer] = []
        with torch.inference_mode():
            while len(sequences) < len(prompts) or self._stepper.running:
                if len(sequences) < len(prompts):
                    sequence = self._begin(prompts[len(sequences)], count)
                    sequences.append(sequence)
                    answers.append(Answer([], sequence.cached))
                self._stepper.step()
                for number in cancelled:
                    if number < len(sequences) and sequences[number].generated >= 3:
                        self._stepper.cancel(sequences[number].id)
        for event in self._stepper.take_events():
            assert not isinstance(event, Finished) or event.reason in (
                FinishReason.LENGTH, FinishReason.CANCELLED,
            ), event  # fmt: skip
        for answer, sequence in zip(answers, sequences, strict=True):
            answer.tokens = sequence.tokens[sequence.prompt_tokens :]
        return answers

    def _begin(self, prompt: list[int], count: int) -> TokenSequence:
        params = SamplingParams(max_tokens=count, seed=0, temperature=0.0)
        request = GenerationRequest(next(self._names), (), params)
        sequence = TokenSequence(request, list(prompt), len(prompt), Detokenizer(lambda part: ""))
        self._stepper.begin(Prepared(request, sequence))
        return sequence


def check_served(name: str, path: Path) -> Served:
    """A model of this family answers as its own `generate` does: prompts of four lengths that come
    one after another, one of which is cancelled, and then the next turns of the same."""
    config = configuration(name)
    assert not reason_against(config)
    auto: Any = AutoModelForImageTextToText if name in WITH_MORE else AutoModelForCausalLM
    model = shake(auto.from_config(config))
    model.save_pretrained(path)
    served = Served(path)
    answers = served.asked(PROMPTS, frozenset({1}))
    for number, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        wanted = expected(model, prompt)[: 3 if number == 1 else ANSWER]
        assert answer.tokens[: len(wanted)] == wanted, f"prompt of {len(prompt)} tokens"
    following = [
        [*prompt, *answer.tokens, *prompt_of(9, 33 + number)]
        for number, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True))
    ]
    seconds = served.asked(following)
    assert all(second.cached >= 60 for second in seconds[2:])  # of the long ones' first turns
    for prompt, answer in zip(following, seconds, strict=True):
        wanted = expected(model, prompt)
        assert answer.tokens[: len(wanted)] == wanted, f"second turn of {len(prompt)} tokens"
    return served
