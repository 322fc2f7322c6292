"""Draws one token per row, each row by its own parameters, the whole batch at once.

Temperature and top-k as usual; nucleus (top-p) sampling: Holtzman et al. 2019,
arXiv:1904.09751; repetition penalty: Keskar et al. 2019, arXiv:1909.05858. Every filter is a
threshold on values, never an order of ties, so a row's outcome does not depend on the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from streaming.engine.base import SamplingParams

_NUCLEUS_CANDIDATES = 1024  # enough for nearly every nucleus without top-k; else the row is sorted
_FEW = 256  # up to this top-k, nothing but the largest logits is looked at
_LARGEST = torch.finfo(torch.float32).max
_TIES = 32  # so many more of them, for equals of the last one


def uniform(seed: int, index: int) -> float:
    """Return the number in [0, 1) for token `index` of an answer with `seed`.

    A keyed hash as counter-based generator (Salmon et al. 2011, "Parallel random numbers: as
    easy as 1, 2, 3"): no state, so it is the same alone, in a crowd, and after a crash.
    """
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8, person=b"chatstream")
    return (int.from_bytes(digest.digest(), "big") >> 11) / (1 << 53)


def sample(
    logits: Tensor,
    params: Sequence[SamplingParams],
    indices: Sequence[int],
    seen: Sequence[Sequence[int]],
) -> tuple[list[int], list[bool]]:
    """Draw from float32 logits [B, V]; return B tokens and, per row, whether it could be done.

    `indices[i]` counts row i's earlier tokens, `seen[i]` are the tokens that its repetition
    penalty applies to. A row whose logits hold NaN or +infinity, or nothing but -infinity, has no
    answer (False), and changes nothing for the others.
    """
    usable = are_usable(logits)
    if not all(usable):
        # NaN is above no threshold and reaches no mass: looked for, it is found beyond the last
        # token, where nobody may index. Zeros are as good as anything for who gets no answer.
        logits = logits.clone()
        logits[[row for row, ok in enumerate(usable) if not ok]] = 0
    logits = _penalised(logits, params, seen)
    greedy, narrow, wide = _sorts(params, logits.shape[-1])
    tokens = [0] * len(params)
    for rows, pick in ((greedy, _largest), (narrow, _pick_of_few), (wide, _pick_of_all)):
        if rows:
            numbers = [uniform(params[row].seed, indices[row]) for row in rows]
            part = logits if len(rows) == len(params) else logits[rows]
            picked = pick(
                part,
                [params[row] for row in rows],
                torch.tensor(numbers, dtype=torch.float64)[:, None],
            )
            for row, token in zip(rows, picked.tolist(), strict=True):
                tokens[row] = token
    return tokens, usable


def are_usable(logits: Tensor) -> list[bool]:
    """Return for each row of logits [B, V] whether a token can be drawn from it."""
    usable: list[bool] = torch.isfinite(logits.amax(dim=-1)).tolist()
    return usable


def _sorts(params: Sequence[SamplingParams], size: int) -> tuple[list[int], list[int], list[int]]:
    """The rows that take the largest, those whose top-k leaves few to choose from, the others."""
    greedy: list[int] = []
    narrow: list[int] = []
    wide: list[int] = []
    for row, p in enumerate(params):
        if p.temperature <= 0.0:
            greedy.append(row)
        else:
            (narrow if 0 < p.top_k <= min(_FEW, size) else wide).append(row)
    return greedy, narrow, wide


def _largest(logits: Tensor, params: Sequence[SamplingParams], numbers: Tensor) -> Tensor:
    return logits.argmax(dim=-1)


def _pick_of_few(logits: Tensor, params: Sequence[SamplingParams], numbers: Tensor) -> Tensor:
    """What `_pick_of_all` picks, from the largest logits alone: so few that another device would
    take longer to be told what to do with them than the CPU takes to do it."""
    ks = torch.tensor([p.top_k for p in params])[:, None]
    candidates = min(logits.shape[-1], max(p.top_k for p in params) + _TIES)
    values, ids = (each.cpu() for each in logits.topk(candidates, dim=-1))  # [S, M], descending
    values = _cooled(values, params)
    kth = values.gather(-1, ks - 1)
    # Equals of the last one may go on behind the candidates, of whom neighbours decide how many
    # there are: such a row looks at all.
    cut: list[int] = []
    if candidates < logits.shape[-1]:
        cut = (values[:, -1:] >= kth)[:, 0].nonzero()[:, 0].tolist()
    values = values.masked_fill(values < kth, -torch.inf)
    if any(p.top_p < 1.0 for p in params):
        top_p = _column([p.top_p for p in params], values.device)
        floor, _ = _nucleus_floor(values, values, top_p)
        values = values.masked_fill((values < floor) & (top_p < 1.0), -torch.inf)
    ids, order = ids.sort(dim=-1)  # in the order of all tokens, whatever the order of equals was
    picked = ids.gather(-1, _pick(values.gather(-1, order), numbers))[:, 0]
    if cut:
        picked[cut] = _pick_of_all(logits[cut], [params[row] for row in cut], numbers[cut]).cpu()
    return picked


def _pick_of_all(logits: Tensor, params: Sequence[SamplingParams], numbers: Tensor) -> Tensor:
    return _pick(_filtered(logits, params), numbers.to(logits.device))[:, 0]


def _cooled(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Relative to the maximum, so that a tiny temperature cannot overflow."""
    scale = torch.tensor([p.temperature for p in params], device=logits.device)[:, None]
    return (logits - logits.amax(dim=-1, keepdim=True)) / scale.clamp(1e-6, _LARGEST)


def _column(numbers: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device=device)[:, None]


def _penalised(
    logits: Tensor, params: Sequence[SamplingParams], seen: Sequence[Sequence[int]]
) -> Tensor:
    rows = [row for row, p in enumerate(params) if p.repetition_penalty != 1.0]
    if not rows:
        return logits
    logits = logits.clone()
    for row in rows:
        ids = torch.tensor(sorted(set(seen[row])), dtype=torch.long, device=logits.device)
        scores = logits[row, ids]
        penalty = params[row].repetition_penalty
        penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
        # An extreme penalty makes no infinities, nor NaN (of 0, by one too small for the format).
        penalised.nan_to_num_(0.0, _LARGEST, -_LARGEST)
        logits[row, ids] = penalised.where(scores.isfinite(), scores)
    return logits


def _filtered(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Scaled logits [S, V] with -inf wherever top-k or top-p excludes a token."""
    size = logits.shape[-1]
    device = logits.device
    logits = _cooled(logits, params)
    ks = [p.top_k if 0 < p.top_k < size else size for p in params]
    if not any(k < size or p.top_p < 1.0 for k, p in zip(ks, params, strict=True)):
        return logits
    wanted = [k if k < size else _NUCLEUS_CANDIDATES for k in ks]
    values = logits.topk(min(size, max(wanted)), dim=-1).values  # [S, M], descending
    kth = torch.tensor(ks, device=device).clamp(max=values.shape[-1])[:, None] - 1
    unlimited = torch.tensor([k == size for k in ks], device=device)[:, None]
    floor = values.gather(-1, kth).masked_fill(unlimited, -torch.inf)
    logits = logits.masked_fill(logits < floor, -torch.inf)
    if all(p.top_p >= 1.0 for p in params):
        return logits
    top_p = _column([p.top_p for p in params], device)
    floor, reached = _nucleus_floor(logits, values, top_p)
    floor = floor.masked_fill(top_p >= 1.0, -torch.inf)
    far = [
        row
        for row, (k, p, found) in enumerate(zip(ks, params, reached.tolist(), strict=True))
        if p.top_p < 1.0 and not found and k == size and values.shape[-1] < size
    ]
    if far:  # a nucleus of more than the candidates
        ordered = logits[far].sort(dim=-1, descending=True).values
        floor[far] = _nucleus_floor(logits[far], ordered, top_p[far])[0]
    return logits.masked_fill(logits < floor, -torch.inf)


def _nucleus_floor(logits: Tensor, values: Tensor, top_p: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest value inside each row's nucleus [S, 1], and whether `values` reach it [S].

    `values` [S, M] are the largest of `logits` [S, V] in descending order.
    """
    total = logits.double().logsumexp(dim=-1, keepdim=True)
    mass = (values.double() - total).exp().cumsum(dim=-1)
    inside = mass >= top_p
    reached = inside.any(dim=-1)
    first = inside.to(torch.int8).argmax(dim=-1, keepdim=True)
    floor = values.gather(-1, first).masked_fill(~reached[:, None], -torch.inf)
    return floor, reached


def _pick(logits: Tensor, numbers: Tensor) -> Tensor:
    """Inverse transform sampling [S, 1]: the first index whose cumulative mass exceeds the
    number [S, 1]."""
    mass = logits.softmax(dim=-1).double().cumsum(dim=-1)
    total = mass[:, -1:].clone()
    picked = torch.searchsorted(mass, numbers * total, right=True)
    # rounding must never reach past the last one that has any mass
    return torch.minimum(picked, torch.searchsorted(mass, total))
