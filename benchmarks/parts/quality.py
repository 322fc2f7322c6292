"""What a number format costs in quality: how much less likely the same answers become.

The first format writes greedy answers to the prompts; every format then decodes the same tokens.
Measured are the perplexity of these tokens, and the Kullback-Leibler divergence of each format's
distribution from the first one's, in nats a token.
"""

from __future__ import annotations

import math

from benchmarks.bare import BareEngine
from benchmarks.options import Options, say
from benchmarks.prompts import turns
from benchmarks.report import Section, Table
from streaming.engine.base import ChatMessage

import torch  # isort: skip

CONTEXT = 1024


class Score:
    """Sums over the tokens of all answers."""

    def __init__(self) -> None:
        self.tokens = 0
        self.loss = 0.0
        self.divergence = 0.0
        self.same = 0

    def add(self, logits: torch.Tensor, measure: torch.Tensor, tokens: torch.Tensor) -> None:
        """Add one step: logits [B, vocabulary], those of the first format, and the next tokens
        [B]."""
        ours, theirs = logits.double().log_softmax(-1), measure.double().log_softmax(-1)
        self.tokens += len(tokens)
        self.loss -= float(ours.gather(-1, tokens[:, None]).sum())
        self.divergence += float((theirs.exp() * (theirs - ours)).sum())
        self.same += int((logits.argmax(-1) == measure.argmax(-1)).sum())

    @property
    def perplexity(self) -> float:
        """Return the perplexity: e to the mean negative log-likelihood of a token."""
        return math.exp(self.loss / self.tokens)


def measure(options: Options) -> Section:
    """Measure the formats `options.dtypes`; return the section."""
    prompts = [conversation[0] for conversation in turns(options.prompts)]
    most, length, rows = (12, 32, 12) if options.quick else (40, 96, 20)
    prompts = prompts[:most]
    engines = {}
    for dtype in options.dtypes:
        say(f"loading {dtype}")
        engines[dtype] = BareEngine(options.model, dtype, rows, CONTEXT)
    scores = {dtype: Score() for dtype in engines}
    for start in range(0, len(prompts), rows):
        say(f"prompts {start + 1} to {min(start + rows, len(prompts))} of {len(prompts)}")
        lead(engines, prompts[start : start + rows], length, scores)
    section = Section("quality", "What a number format costs in quality")
    first = scores[options.dtypes[0]]
    table = Table(["format", "perplexity", f"beside {options.dtypes[0]}",
                   "divergence, nats a token", "same best token, %"])  # fmt: skip
    for dtype, score in scores.items():
        beside = score.perplexity / first.perplexity
        divergence = score.divergence / score.tokens
        table.add(
            dtype,
            f"{score.perplexity:.4f}",
            f"{beside:.4f}",
            f"{divergence:.5f}",
            100 * score.same / score.tokens,
        )
        section.figures[f"perplexity_{dtype}"] = score.perplexity
        section.figures[f"perplexity_ratio_{dtype}"] = beside
        section.figures[f"divergence_{dtype}"] = divergence
    section.tables.append(table)
    section.notes.append(
        f"{len(prompts)} prompts of {options.prompts.name if options.prompts else 'ours'}, "
        f"{first.tokens:,} tokens, written by {options.dtypes[0]} with greedy decoding."
    )
    return section


def lead(
    engines: dict[str, BareEngine], prompts: list[str], length: int, scores: dict[str, Score]
) -> None:
    """Lead all engines through the same answers; the next token is the first engine's best one."""
    first = next(iter(engines.values()))
    read = [first.prompts.encode([ChatMessage("user", p)])[-(CONTEXT - length) :] for p in prompts]
    logits = {
        dtype: torch.cat([engine.read(row, tokens) for row, tokens in enumerate(read)])
        for dtype, engine in engines.items()
    }
    going = [True] * len(read)
    for step in range(length):
        measure_of = next(iter(logits.values()))
        tokens = measure_of.argmax(-1)
        kept = [row for row, on in enumerate(going) if on]
        if not kept:
            return
        for dtype, found in logits.items():
            scores[dtype].add(found[kept], measure_of[kept], tokens[kept])
        chosen = tokens.tolist()
        going = [
            on and token not in first.stop_ids for on, token in zip(going, chosen, strict=True)
        ]
        positions = [len(each) + step for each in read]
        logits = {dtype: engine.step(chosen, positions) for dtype, engine in engines.items()}
