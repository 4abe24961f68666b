"""The only sampler: it draws a page from a policy and writes down what it drew from.

Slot j is drawn from the policy's own answer on the candidates that are left after the slots before it. So the
propensity of every slot is exact for every policy, and a policy need not know about pages at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.types import Candidates, Decision, Floats, Policy

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
) -> Decision:
    """A page of `k` distinct items drawn from `policy`, with the propensity of every slot; learns nothing."""
    if not 1 <= k <= len(candidates):
        raise InvalidInput(f"k must be in 1..{len(candidates)} (the candidates there are), got {k}")
    plan = policy.plan(candidates)
    left = np.arange(len(candidates))
    chosen, propensities, first = [], [], np.empty(0)
    for slot in range(k):
        pmf = policy.probabilities(candidates if slot == 0 else candidates.take(left), rng, level=plan.level)
        drawn = draw(pmf, rng)
        if slot == 0:
            first = pmf
        chosen.append(int(left[drawn]))
        propensities.append(float(pmf[drawn]))
        left = np.delete(left, drawn)
    decision = Decision(
        decision_id=request.decision_id,
        time=request.time,
        user_id=candidates.user_id,
        surface=request.surface,
        candidates=candidates,
        plan=plan,
        pmf=first,
        chosen=np.array(chosen, dtype=np.int64),
        propensities=np.array(propensities),
        policy=policy.name,
        policy_version=request.policy_version,
        model_version=request.model_version,
        why=("",) * k,
        page_size=k,
    )
    return _explained(decision, explain) if explain else decision


def draw(pmf: Floats, rng: np.random.Generator) -> int:
    """One row drawn from `pmf`."""
    cumulative = np.cumsum(pmf)
    # the last entry of the sum may fall short of 1 by rounding; scaling keeps the draw inside
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def _explained(decision: Decision, explain: Explain) -> Decision:
    flags = zip(decision.chosen, decision.explored, strict=True)
    return replace(decision, why=tuple(explain(int(row), bool(explored)) for row, explored in flags))
