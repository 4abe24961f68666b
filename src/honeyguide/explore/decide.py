"""The only sampler: it draws a page from a policy and writes down what it drew from.

Slot j is drawn from the policy's own answer on the candidates that are left after the slots before it. So the
propensity of every slot is exact for every policy, and a policy need not know about pages at all. One that wants to
knows from its candidates what the page holds already. Slots that the shop fixes are not drawn: their items are
on the page from the start, and no candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.page import slots_of
from honeyguide.types import Candidates, Decision, Floats, Policy, Rows

Explain = Callable[[int, bool], str]
"""(row of the candidates, explored) -> why this item is on the page, in words."""


@dataclass(frozen=True, slots=True)
class Request:
    """What identifies a decision in the journal."""

    decision_id: str
    time: datetime
    surface: str = "default"
    policy_version: str = "0"
    model_version: str = "0"


def stream(root: int, decision_id: str) -> np.random.Generator:
    """The random stream of one decision: the same (root, decision_id) always gives the same numbers."""
    digest = blake2b(f"{root}:{decision_id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def decide(
    policy: Policy,
    candidates: Candidates,
    *,
    k: int,
    request: Request,
    rng: np.random.Generator,
    explain: Explain | None = None,
    pins: Mapping[int, int] | None = None,
) -> Decision:
    """A page of `k` distinct items drawn from `policy`, with the propensity of every slot; learns nothing.

    `pins` are rows by slot: they stand there whatever the policy says. InvalidInput.
    """
    if not 1 <= k <= len(candidates):
        raise InvalidInput(f"k must be in 1..{len(candidates)} (the candidates there are), got {k}")
    fixed = _checked(pins or {}, k, len(candidates))
    plan = policy.plan(candidates)
    chosen, propensities, first = _filled(policy, candidates, k, fixed, rng, plan.level)
    decision = Decision(
        decision_id=request.decision_id,
        time=request.time,
        user_id=candidates.user_id,
        surface=request.surface,
        candidates=candidates,
        plan=plan,
        pmf=first,
        chosen=chosen,
        propensities=propensities,
        policy=policy.name,
        policy_version=request.policy_version,
        model_version=request.model_version,
        why=("",) * k,
        page_size=k,
        pins=tuple(fixed.items()),
    )
    return _explained(decision, explain) if explain else decision


def _filled(
    policy: Policy,
    candidates: Candidates,
    k: int,
    fixed: dict[int, int],
    rng: np.random.Generator,
    level: float,
) -> tuple[Rows, Floats, Floats]:
    """(k,) rows, (k,) propensities, and (n,) the pmf of the first slot that is drawn."""
    page, ask = list(fixed.values()), slots_of(policy, candidates, rng, level)
    chosen, propensities, first = [], [], np.zeros(len(candidates))
    for slot in range(k):
        if slot in fixed:
            chosen.append(fixed[slot])
            propensities.append(1.0)
            continue
        left, pmf = ask(page)
        drawn = draw(pmf, rng)
        if len(page) == len(fixed):
            first[left] = pmf
        chosen.append(int(left[drawn]))
        propensities.append(float(pmf[drawn]))
        page.append(chosen[-1])
    return np.array(chosen, dtype=np.int64), np.array(propensities), first


def draw(pmf: Floats, rng: np.random.Generator) -> int:
    """One row drawn from `pmf`."""
    cumulative = np.cumsum(pmf)
    # the last entry of the sum may fall short of 1 by rounding; scaling keeps the draw inside
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def _checked(pins: Mapping[int, int], k: int, n: int) -> dict[int, int]:
    rows = list(pins.values())
    if not all(0 <= slot < k for slot in pins) or not all(0 <= row < n for row in rows):
        raise InvalidInput(f"pins must be of slots in 0..{k - 1} and rows in 0..{n - 1}, got {dict(pins)}")
    if len(set(rows)) != len(rows):
        raise InvalidInput(f"a page shows an item once: pin it to one slot, got {dict(pins)}")
    return dict(sorted(pins.items()))


def _explained(decision: Decision, explain: Explain) -> Decision:
    flags = zip(decision.chosen.tolist(), decision.explored.tolist(), decision.pinned.tolist(), strict=True)
    said = ("put here by the shop" if pinned else explain(row, explored) for row, explored, pinned in flags)
    return replace(decision, why=tuple(said))
