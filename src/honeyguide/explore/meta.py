"""Which level deserves to be drawn, by what each has earned: a meta-bandit, and a champion with challengers.

Both are functions of sums over the journal, and of nothing else: so late, shuffled or retracted feedback leads to the
same chances, and a user can be forgotten.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.level_sums import LEVELS, LevelSums
from honeyguide.types import Decision, Floats, State

_LEAST = 0.02  # the least chance of a level: no slot of it counts for more than 50
_DELTA = 0.05  # how likely a challenger is ever to be taken for better than exploit-only and is not
_TIGHT = 5_000.0  # after about so many slots the bound is tightest
_NEWTON = 12  # more change no bit, of so few levels


class _Levels:
    """What both keep: the sums of each level."""

    def __init__(self) -> None:
        self.sums = LevelSums()

    def add(self, decision: Decision, rewards: Floats) -> None:
        """Count the (k,) rewards of a decision's slots."""
        self.sums.add(decision, rewards)

    def subtract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back, to the bit."""
        self.sums.subtract(decision, rewards)

    def forget(self, user_id: str) -> None:
        """Drop a user's share, to the bit."""
        self.sums.forget(user_id)


class Corral(_Levels):
    """Follow the regularised leader with a log-barrier over the levels: 1 / chance = eta · (lambda - gain).

    That is the master of Agarwal et al. 2017 (arXiv 1612.06246) with a rate that all levels share. A gain is what a
    level earned, weighed by one over its chance, beyond the mean of all. The rate √(levels · ln n / Σ (r - mean)²)
    falls as feedback comes in, and small rewards do not slow it.
    """

    name = "corral"

    def chances(self, remaining_visits: float) -> Floats:
        """(levels,): the same for everybody."""
        first = self.sums.totals[:, 0]  # (levels, 3): counts, rewards, squares, each over the level's chance
        counts, rewards, squares = first.sum(axis=0)
        mean = rewards / counts if counts else 0.0
        gains = first[:, 1] - mean * first[:, 0]
        slots = counts / len(LEVELS)  # each level's weights add up to the slots there were
        spread = max(squares - mean * rewards, 0.0) / len(LEVELS)
        rate = np.sqrt(len(LEVELS) * np.log1p(slots) / (1.0 + spread))
        return (1 - len(LEVELS) * _LEAST) * log_barrier(rate * gains) + _LEAST

    def state(self) -> State:
        """The sums."""
        return self.sums.state()

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The chooser whose `state()` this is."""
        chooser = cls()
        chooser.sums = LevelSums.from_state(state)
        return chooser


class Champion(_Levels):
    """One level has all but a share of the pages, and the others that share, until one of them is proven better.

    Exploit-only is the champion from the start. A level takes its place while the lower bound of what it earns more a
    slot is above 0, the level of the highest bound where several are. The bounds hold at all times at once
    (Waudby-Smith et al. 2021, arXiv 2103.06476), so looking at every page is no cheating.
    """

    def __init__(self, share: float) -> None:
        if not 0.01 <= share <= 0.5:
            raise InvalidInput(f"the challengers' share must lie in 0.01..0.5, got {share}")
        super().__init__()
        self.share = float(share)

    @property
    def name(self) -> str:
        """With the challengers' share of pages."""
        return f"champion-{self.share:g}"

    def chances(self, remaining_visits: float) -> Floats:
        """(levels,): the same for everybody."""
        chances = np.full(len(LEVELS), self.share / (len(LEVELS) - 1))
        chances[self.champion] = 1 - self.share
        return chances

    @property
    def champion(self) -> int:
        """The level that is proven better than exploit-only, or else exploit-only."""
        bounds = _lower_bounds(self.sums.totals)
        return int(bounds.argmax()) if bounds.max() > 0 else 0

    def state(self) -> State:
        """The sums, and the share."""
        return {"champion.share": np.array([self.share]), **self.sums.state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The chooser whose `state()` this is."""
        chooser = cls(float(state["champion.share"][0]))
        chooser.sums = LevelSums.from_state(state)
        return chooser


def log_barrier(gains: Floats) -> Floats:
    """(n,): the w on the simplex that maximises w · gains + Σ ln w.

    >>> log_barrier(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    behind = gains.max() - gains
    least = 1.0  # Σ 1 / (least + behind) falls, convex, from above 1: Newton's steps from the left never go too far
    for _ in range(_NEWTON):
        parts = 1.0 / (least + behind)
        least += (parts.sum() - 1.0) / (parts**2).sum()
    parts = 1.0 / (least + behind)
    return np.asarray(parts / parts.sum())


def _lower_bounds(totals: Floats) -> Floats:
    """(levels,): what each earns a slot beyond exploit-only, at least; minus infinity where nothing tells."""
    weight = np.maximum(totals[:, 0, 0], 1e-9)
    mean = totals[:, 0, 1] / weight
    one, reward, square = totals[:, 1].T
    # as if one slot more had been off by 1: rewards that were all the same so far prove nothing
    noise = square - 2 * mean * reward + mean**2 * one + one / weight
    error = np.sqrt((noise + noise[0] * (weight / weight[0]) ** 2).clip(min=0)) / weight
    spent = 1 + np.minimum(weight, weight[0]) / _TIGHT
    wide = np.sqrt(2 * spent / (spent - 1) * np.log(np.sqrt(spent) * (len(LEVELS) - 1) / _DELTA))
    told = (totals[:, 0, 0] > 0) & (totals[0, 0, 0] > 0)
    return np.where(told, mean - mean[0] - wide * error, -np.inf)
