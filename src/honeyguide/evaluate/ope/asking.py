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
from honeyguide.explore.page import slots_of
from honeyguide.types import Decision, Floats, Policy

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
    slots = np.arange(k)
    if target is None:
        shown = np.zeros((k, n))
        shown[slots, decision.chosen] = 1.0
        return Answer(shown, shown, np.ones(k), np.ones(k), 1.0)
    asked = _Asked(target, decision, stream(seed, f"off-policy:{decision.decision_id}"))
    given = asked.along(decision.chosen.tolist())
    ratio = given[slots, decision.chosen] / decision.propensities
    largest = _largest_ratio(decision, given)
    if not whole or k == 1:
        return Answer(given, given, ratio, ratio, largest)
    placed = asked.placed(given)
    weight = placed[slots, decision.chosen] / chance_of_place(decision)
    return Answer(given, placed, ratio, weight, largest)


def importance_weights(decision: Decision, target: Policy, *, seed: int = 0) -> Floats:
    """(k,): how much likelier the target is to fill slots 0..j as logged; NoSupport where logging could not show."""
    return np.asarray(np.cumprod(ask(decision, target, seed=seed, whole=False).ratio))


class _Asked:
    """A target that is asked for the slots of one page, from one stream and at one level, as `decide` would."""

    def __init__(self, target: Policy, decision: Decision, rng: np.random.Generator) -> None:
        self.rng = rng
        self.candidates = decision.candidates
        self.k = len(decision.chosen)
        self.fixed = dict(decision.pins)
        level = target.plan(self.candidates).level
        self._slots = slots_of(target, self.candidates, rng, level)

    def along(self, chosen: list[int]) -> Floats:
        """(k, n): the distribution in each slot of a page on which `chosen` stands above."""
        drawn = [slot for slot in range(self.k) if slot not in self.fixed]
        given = self._pinned()
        for slot in drawn:
            self._ask([chosen[above] for above in drawn if above < slot], given[slot])
        return given

    def placed(self, given: Floats) -> Floats:
        """(k, n): what goes where; exact for small pages, else from pages drawn of the target, which is unbiased.

        The first slot that is drawn is as `given`.
        """
        drawn = [slot for slot in range(self.k) if slot not in self.fixed]
        placed = self._pinned()
        if not drawn:
            return placed
        if perm(len(self.candidates) - len(self.fixed), len(drawn) - 1) <= _EVERY:
            return self._every(drawn, placed)
        for _ in range(PATHS):
            page: list[int] = []
            for slot in drawn:
                pmf = self._ask(page, np.zeros(len(self.candidates))) if page else given[slot]
                placed[slot] += pmf / PATHS
                page.append(draw(pmf, self.rng))
        return placed

    def _every(self, drawn: list[int], placed: Floats) -> Floats:
        pages: list[tuple[list[int], float]] = [([], 1.0)]
        for slot in drawn:
            longer = []
            for page, chance in pages:
                pmf = self._ask(page, np.zeros(len(self.candidates)))
                placed[slot] += chance * pmf
                longer += [([*page, row], chance * float(pmf[row])) for row in np.flatnonzero(pmf).tolist()]
            pages = longer
        return placed

    def _ask(self, page: list[int], into: Floats) -> Floats:
        """`into` (n,) with the chances of the next slot where the rows of `page` stand beside what is pinned."""
        left, pmf = self._slots([*self.fixed.values(), *page])
        into[left] = pmf
        return into

    def _pinned(self) -> Floats:
        """(k, n): 1 where the shop has fixed what stands there, whoever decides."""
        table = np.zeros((self.k, len(self.candidates)))
        for slot, row in self.fixed.items():
            if slot < self.k:
                table[slot, row] = 1.0
        return table


def _largest_ratio(decision: Decision, given: Floats) -> float:
    """Of the first slot that was drawn; NoSupport where the log could not show what the target would there."""
    drawn = np.flatnonzero(~decision.pinned)
    if not len(drawn):
        return 1.0
    target, possible = given[drawn[0]], decision.pmf > 0
    hidden = float(target[~possible].sum())
    if hidden > 0:
        raise NoSupport(
            f"decision {decision.decision_id!r} could not show what the target shows with probability "
            f"{hidden:.3g}: log with a floor"
        )
    return float((target[possible] / decision.pmf[possible]).max())
