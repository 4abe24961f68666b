"""How a policy did in a season, visit by visit, and how two runs of equal seeds compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from honeyguide.errors import InvalidInput
from honeyguide.types import Decision, Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One policy in one season. All columns are (v,), a row per visit in the order of time.

    `person` says whose visit it was, `nth` their how manieth (0 is the first), `day` when. `reward` was earned,
    `expected` is what the page earns in truth, `exploit` what the page would have that the policy's own scores put
    first, `best` what the best page would of the same candidates. `believed` is what the policy expected of its page.
    """

    policy: str
    world: str
    seed: int
    reasons: tuple[str, ...]
    decisions: tuple[Decision, ...]
    """With their propensities, where they were asked for; `rewards` has one (k,) for each."""
    rewards: tuple[Floats, ...]
    person: Rows
    nth: Rows
    day: Floats
    reward: Floats
    expected: Floats
    exploit: Floats
    best: Floats
    believed: Floats
    level: Floats
    discoveries: Floats
    new_reward: Floats
    """Reward of items that came in during the season."""

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def regret(self) -> Floats:
        """(v,): what each page lacks of the best one, in expectation."""
        return self.best - self.expected

    def earned(self, of: NDArray[np.bool_] | None = None) -> float:
        """All that was earned, in expectation: of all visits, or of those marked (v,)."""
        return float(self.expected.sum() if of is None else self.expected[of].sum())

    def of_new_users(self, visits: int = 3) -> NDArray[np.bool_]:
        """(v,): the visits that were among a person's first ones."""
        return np.asarray(self.nth < visits)

    def kept(self, epsilon: float) -> float:
        """How much more was earned than (1 - epsilon) of what exploit-only pages would have, in expectation."""
        return float(self.expected.sum() - (1 - epsilon) * self.exploit.sum())


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired mean difference with its 95 % interval over seeds."""

    mean: float
    low: float
    high: float


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """The mean of ours less theirs over seeds, with Student's interval.

    >>> paired([3.0, 5.0], [2.0, 4.0])
    Difference(mean=1.0, low=1.0, high=1.0)
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise InvalidInput(
            f"a paired interval needs at least 2 seeds, the same for both, got {len(ours)}, {len(theirs)}"
        )
    differences = np.asarray(ours) - np.asarray(theirs)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    margin = float(stdtrit(len(differences) - 1, 0.975) * error)
    mean = float(differences.mean())
    return Difference(mean, mean - margin, mean + margin)
