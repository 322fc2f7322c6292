"""The batch sampler against a plain one-row reading of its definition."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.engine.base import SamplingParams
from streaming.engine.local import sampler
from streaming.engine.local.sampler import sample, uniform

params = st.builds(
    SamplingParams,
    max_tokens=st.just(8),
    seed=st.integers(-(2**40), 2**64),
    temperature=st.sampled_from([0.0, 1e-4, 0.3, 1.0, 2.5]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
    top_k=st.sampled_from([0, 1, 3, 7, 100]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
)


def naive(logits: list[float], p: SamplingParams, index: int, seen: list[int]) -> int:
    scores = list(logits)
    for token in set(seen):
        scores[token] *= p.repetition_penalty if scores[token] < 0 else 1 / p.repetition_penalty
    if p.temperature == 0:
        return scores.index(max(scores))
    scores = [(score - max(scores)) / p.temperature for score in scores]
    kept = dict(enumerate(scores))
    if p.top_k:
        floor = sorted(scores, reverse=True)[: p.top_k][-1]
        kept = {token: score for token, score in kept.items() if score >= floor}
    if p.top_p < 1:
        total = sum(map(math.exp, kept.values()))
        mass = 0.0
        for score in sorted(kept.values(), reverse=True):
            mass += math.exp(score) / total
            if mass >= p.top_p:
                kept = {token: value for token, value in kept.items() if value >= score}
                break
    goal = uniform(p.seed, index) * sum(map(math.exp, kept.values()))
    mass = 0.0
    for token, score in kept.items():
        mass += math.exp(score)
        if mass > goal:
            return token
    return token


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(params, st.integers(0, 999)), min_size=1, max_size=6), st.integers())
def test_each_row_as_if_it_were_alone(
    rows: list[tuple[SamplingParams, int]], randomness: int
) -> None:
    generator = torch.Generator().manual_seed(randomness % 2**63)
    logits = torch.randn(len(rows), 33, generator=generator) * 3
    seen = [torch.randint(33, (5,), generator=generator).tolist() for _ in rows]
    tokens, usable = sample(logits, [p for p, _ in rows], [i for _, i in rows], seen)
    assert all(usable)
    for row, (p, index) in enumerate(rows):
        assert tokens[row] == naive(logits[row].tolist(), p, index, seen[row])
        alone, _ = sample(logits[row : row + 1], [p], [index], [seen[row]])
        assert alone == [tokens[row]]


def test_a_wide_nucleus_looks_beyond_its_candidates() -> None:
    logits = torch.zeros(1, 5000)  # flat: 90 % of it are 4,500 tokens, all tied
    flat = SamplingParams(max_tokens=1, seed=3, temperature=1.0, top_p=0.9, top_k=0)
    drawn = {sample(logits, [flat], [index], [[]])[0][0] for index in range(200)}
    assert max(drawn) > 4000
    sloped = torch.linspace(0, -1, 5000)[None]
    many = [sample(sloped, [flat], [index], [[]])[0][0] for index in range(300)]
    assert max(many) > sampler._NUCLEUS_CANDIDATES
    mass = sloped[0].softmax(0).cumsum(0)
    assert max(many) <= int((mass < 0.9).sum())


def test_ties_at_the_edge_of_top_k_are_all_kept() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 1.0, -5.0]])
    p = SamplingParams(max_tokens=1, seed=1, temperature=1.0, top_p=1.0, top_k=2)
    drawn = {sample(logits, [p], [index], [[]])[0][0] for index in range(200)}
    assert drawn == {0, 1, 2, 3}


def test_unusable_rows_are_told_apart() -> None:
    logits = torch.zeros(4, 10)
    logits[1, 3] = float("nan")
    logits[2, 3] = float("inf")
    logits[3, :9] = -float("inf")
    p = SamplingParams(max_tokens=1, seed=1, temperature=1.0)
    tokens, usable = sample(logits, [p] * 4, [0] * 4, [[]] * 4)
    assert usable == [True, False, False, True]
    assert tokens[3] == 9


def test_the_uniform_number_is_fixed_for_all_time() -> None:
    """A change here would change every seeded answer, and break answers that are under way."""
    assert uniform(0, 0) == uniform(0, 0)
    assert [round(uniform(42, index), 12) for index in range(2)] == [0.138381647739, 0.9486039726]
    numbers = [uniform(seed, index) for seed in range(50) for index in range(50)]
    assert len(set(numbers)) == 2500
    assert 0 <= min(numbers) < max(numbers) < 1
    assert abs(sum(numbers) / 2500 - 0.5) < 0.03


FAULTS = {
    "none": lambda row: row,
    "one NaN": lambda row: row.index_fill(0, torch.tensor([7]), math.nan),
    "all NaN": lambda row: torch.full_like(row, math.nan),
    "+inf": lambda row: row.index_fill(0, torch.tensor([0]), math.inf),
    "NaN and inf": lambda row: row.index_fill(0, torch.tensor([32]), math.nan) * math.inf,
    "only -inf": lambda row: torch.full_like(row, -math.inf),
    "one left": lambda row: torch.full_like(row, -math.inf).index_fill(0, torch.tensor([5]), 1.0),
    "huge": lambda row: row.sign() * 3e38,
    "all huge": lambda row: torch.full_like(row, -3e38),
    "tiny": lambda row: row * 1e-40,
}
UNUSABLE = {"one NaN", "all NaN", "+inf", "NaN and inf", "only -inf"}

any_params = st.builds(
    SamplingParams,
    max_tokens=st.integers(1, 2**40),
    seed=st.integers(-(2**70), 2**70),
    temperature=st.sampled_from([0.0, 5e-324, 1e-40, 1e-7, 0.3, 1.0, 2.0, 1e38, 1.7e308])
    | st.floats(0, 2),
    top_p=st.sampled_from([5e-324, 1e-9, 0.5, 0.9, 1 - 2**-53, 1.0])
    | st.floats(0, 1, exclude_min=True),
    top_k=st.sampled_from([0, 1, 2, 32, 33, 34, 256, 257, 1000, 2**40]) | st.integers(0, 70),
    repetition_penalty=st.sampled_from([5e-324, 1e-300, 1e-45, 0.5, 1.0, 2.0, 1e39, 1.7e308])
    | st.floats(0.5, 2),
    ignore_eos=st.booleans(),
    stop=st.sampled_from([(), ("x",)]),
)
any_row = st.tuples(any_params, st.integers(0, 2**40), st.sampled_from(sorted(FAULTS)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(any_row, min_size=1, max_size=6), st.integers(0, 2**32), st.sampled_from([33, 1500])
)
def test_a_row_at_fault_is_alone_with_it(
    rows: list[tuple[SamplingParams, int, str]], randomness: int, size: int
) -> None:
    """Whatever is in a row, and whatever its parameters: it is told apart, and all others get what
    they get alone, a token there is, and one that nothing has forbidden."""
    generator = torch.Generator().manual_seed(randomness)
    logits = torch.randn(len(rows), size, generator=generator) * 3
    for row, (_, _, fault) in enumerate(rows):
        logits[row] = FAULTS[fault](logits[row])
    seen = [torch.randint(size, (9,), generator=generator).tolist() for _ in rows]
    seen[0] = list(range(size))
    given_ = logits.clone()
    tokens, usable = sample(logits, [p for p, *_ in rows], [i for _, i, _ in rows], seen)
    assert logits.equal(given_) or logits.isnan().any()
    assert usable == [fault not in UNUSABLE for *_, fault in rows]
    for row, (p, index, _) in enumerate(rows):
        if usable[row]:
            assert 0 <= tokens[row] < size
            assert logits[row, tokens[row]] > -math.inf
            alone, _ = sample(logits[row : row + 1], [p], [index], [seen[row]])
            assert alone == [tokens[row]]
