"""How likely a logged page was to put its items where they stood, over all that might have stood above them.

A decision holds what every slot was drawn with given the slots above. Summed over what may stand above, that is

    first slot                          the pmf that the decision holds
    a ranking with a floor (uniform     exact, by going through how many better items are left: in every slot the
    and exploit-only pages are ones)    best one left gets 1 - floor and all share the floor
    second slot of any other page       its propensity times the chance that the item was not in the first; this
                                        varies with what stood above, but on average weighs just as the sum would
    further slots of any other page     the same, where the chance of not being placed yet is that of drawing from
                                        the first slot's pmf without replacement (Rosén 1972: 1 - exp(-t p)), which
                                        is close and not exact
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from honeyguide.types import Decision, Floats, Rows

_SAME = 1e-6


def chance_of_place(decision: Decision) -> Floats:
    """(k,): the chance that the logger put each shown item into its slot; 1 for what the shop has pinned there."""
    chances = np.ones(len(decision.chosen))
    drawn = ~decision.pinned
    rows, k = decision.chosen[drawn], int(drawn.sum())
    floor = ranked_floor(decision)
    if floor is not None:
        n = len(decision.candidates) - len(decision.pins)
        chances[drawn] = _table(n, k, floor)[np.arange(k), rank_of(decision)[rows]]
        return chances
    waiting = np.array([_not_yet(decision.pmf, slot, decision.pmf[row]) for slot, row in enumerate(rows)])
    chances[drawn] = decision.propensities[drawn] * waiting
    return chances


def rank_of(decision: Decision) -> Rows:
    """(n,): each candidate's place by expected reward, 0 for the best; what is pinned comes last."""
    scores = decision.plan.scores.copy()
    scores[[row for _, row in decision.pins]] = -np.inf
    rank = np.empty(len(scores), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return rank


def ranked_floor(decision: Decision) -> float | None:
    """The floor of a page drawn from a ranking by expected reward with a floor; None where it was not."""
    n = len(decision.candidates) - len(decision.pins)
    rank = rank_of(decision)
    free = rank < n
    floor = float(min(decision.pmf[free].min(initial=1.0) * n, 1.0))
    expected = np.full(n, floor / max(n, 1))
    expected[:1] += 1 - floor
    by_rank = decision.pmf[np.argsort(rank)][:n]
    if not np.allclose(by_rank, expected, rtol=_SAME, atol=0.0):
        return None
    ranks = rank[decision.chosen[~decision.pinned]]
    better = np.tril(ranks[None, :] < ranks[:, None]).sum(axis=1)  # than this one, and above it
    chances = floor / (n - np.arange(len(ranks))) + (1 - floor) * (ranks == better)
    if not np.allclose(decision.propensities[~decision.pinned], chances, rtol=_SAME, atol=0.0):
        return None
    return round(floor, 9)


@lru_cache(maxsize=64)
def _table(n: int, k: int, floor: float) -> Floats:
    """(k, n): the chance that a ranking of n with a floor puts the item of each rank into each slot."""
    ranks = np.arange(n)
    table = np.zeros((k, n))
    # (rank, u): the chance that the item is not placed yet and u better ones are left
    waiting = np.eye(n)
    for slot in range(k):
        left = n - slot
        each = floor / left
        table[slot] = waiting.sum(axis=1) * each + waiting[:, 0] * (1 - floor)
        better = np.minimum(ranks, left - 1)
        falls = waiting * (each * better + (1 - floor) * (ranks > 0))
        stays = waiting * (each * np.maximum(left - 1 - better, 0))
        waiting = stays
        waiting[:, :-1] += falls[:, 1:]
    return table


def _not_yet(pmf: Floats, slot: int, chance: float) -> float:
    """How likely an item of this chance in the first slot is left after `slot` of them."""
    if slot < 2:
        return 1 - slot * chance
    return float(np.exp(-_time_of(pmf, slot) * chance))


def _time_of(pmf: Floats, slots: int) -> float:
    """The t at which sum(1 - exp(-t p)) is `slots`, by Newton's method: it comes from below and cannot overshoot."""
    time = float(slots)
    for _ in range(50):
        gone = np.exp(-time * pmf)
        step = (slots - (1 - gone).sum()) / max(float((pmf * gone).sum()), 1e-12)
        time += step
        if abs(step) < 1e-9 * time:
            break
    return time
