"""What a target policy would do on a logged page, asked just as `decide` would ask it.

It is asked from a random stream of its own: with the logger's, what it draws would depend on which item was drawn,
and the weights would be biased.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import perm

import numpy as np

from honeyguide.errors import NoSupport
from honeyguide.evaluate.ope.placing import chance_of_place
from honeyguide.explore.decide import draw, stream
from honeyguide.types import Candidates, Decision, Floats, Policy

PATHS = 2
"""Pages of the target that are drawn where there are too many to go through."""
_EVERY = 30  # pages of the slots above the last: up to so many all are gone through


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """How a target meets one logged page of k slots among n candidates.

    `given` is (k, n), its distribution in each slot where the slots above are as logged; `placed` is (k, n), the
    chance that it puts a candidate into a slot, over all that it might have put above. `ratio` (k,) is how much
    likelier than the logger it is to fill a slot as logged, given the slots above; `weight` (k,) the same over
    all that may stand above; `largest` is the highest `ratio` that the first slot of this page could have had.
    """

    given: Floats
    placed: Floats
    ratio: Floats
    weight: Floats
    largest: float


def ask(decision: Decision, target: Policy | None, *, seed: int = 0, whole: bool = True) -> Answer:
    """The target's answer on this page; None is the logged policy itself, which shows what was shown.

    Where `whole` is False, `placed` and `weight` are left as they are given the slots above: what slots stand in
    for is not looked into. NoSupport where logging could not show what the target would.
    """
    k, n = len(decision.chosen), len(decision.candidates)
    if target is None:
        shown = np.zeros((k, n))
        shown[np.arange(k), decision.chosen] = 1.0
        return Answer(shown, shown, np.ones(k), np.ones(k), 1.0)
    rng = stream(seed, f"off-policy:{decision.decision_id}")
    level = target.plan(decision.candidates).level
    given = _along(decision.candidates, target, decision.chosen.tolist(), rng, level)
    _check_first_slot(decision, given[0])
    slots = np.arange(k)
    ratio = given[slots, decision.chosen] / decision.propensities
    possible = decision.pmf > 0
    largest = float((given[0, possible] / decision.pmf[possible]).max())
    if not whole or k == 1:
        return Answer(given, given, ratio, ratio, largest)
    placed = _placed(decision.candidates, target, k, rng, level, given[0])
    weight = placed[slots, decision.chosen] / chance_of_place(decision)
    return Answer(given, placed, ratio, weight, largest)


def importance_weights(decision: Decision, target: Policy, *, seed: int = 0) -> Floats:
    """(k,): how much likelier the target is to fill slots 0..j as logged; NoSupport where logging could not show."""
    return np.asarray(np.cumprod(ask(decision, target, seed=seed, whole=False).ratio))


def _along(
    candidates: Candidates, target: Policy, chosen: list[int], rng: np.random.Generator, level: float
) -> Floats:
    """(k, n): the target's distribution in each slot of a page on which `chosen` stands above."""
    left = np.arange(len(candidates))
    given = np.zeros((len(chosen), len(candidates)))
    for slot, row in enumerate(chosen):
        given[slot, left] = target.probabilities(
            candidates if slot == 0 else candidates.take(left), rng, level=level
        )
        left = left[left != row]
    return given


def _placed(
    candidates: Candidates, target: Policy, k: int, rng: np.random.Generator, level: float, first: Floats
) -> Floats:
    """(k, n): what the target puts where; exact for small pages, else from pages drawn of it, which is unbiased."""
    n = len(candidates)
    if perm(n, k - 1) <= _EVERY:
        return _every(candidates, target, k, rng, level)
    placed = np.zeros((k, n))
    for _ in range(PATHS):
        left, pmf = np.arange(n), first
        for slot in range(k):
            if slot:
                pmf = target.probabilities(candidates.take(left), rng, level=level)
            placed[slot, left] += pmf / PATHS
            left = np.delete(left, draw(pmf, rng))
    return placed


def _every(candidates: Candidates, target: Policy, k: int, rng: np.random.Generator, level: float) -> Floats:
    n = len(candidates)
    placed = np.zeros((k, n))
    pages: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    for slot in range(k):
        longer = []
        for above, chance in pages:
            left = np.array([row for row in range(n) if row not in above])
            pmf = target.probabilities(candidates.take(left) if slot else candidates, rng, level=level)
            placed[slot, left] += chance * pmf
            longer += [((*above, int(row)), chance * p) for row, p in zip(left, pmf.tolist(), strict=True)]
        pages = longer
    return placed


def _check_first_slot(decision: Decision, target: Floats) -> None:
    hidden = float(target[decision.pmf == 0].sum())
    if hidden > 0:
        raise NoSupport(
            f"decision {decision.decision_id!r} could not show what the target shows with probability "
            f"{hidden:.3g}: log with a floor"
        )
