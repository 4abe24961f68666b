"""What is believed of the rewards of some items for one user, all at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.explore.common_noise import CommonNoise
from honeyguide.explore.kinds import Belief
from honeyguide.types import Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class About:
    """Expected rewards `mean` (n,), and what moves them together and each by itself.

    A unit of each of the user's weights, believed as `belief` says, adds `features` (n, d) to the rewards; `own` (n,)
    is the variance of what is the items' own, where anything is. `noise` (n,) is the variance of one reward.
    `reach` (n,) is how many users have been shown each item: to them, too, it matters what is learned of the item.
    `beside` (e, n) are e more unknowns of the user, each of unit variance and by itself, and how they move the items.
    """

    mean: Floats
    belief: Belief
    features: Floats
    noise: Floats
    own: Floats | None = None
    reach: Floats | None = None
    beside: Floats | None = None

    def take(self, rows: Rows) -> About:
        """What is believed of the items at `rows`."""
        return About(
            self.mean[rows],
            self.belief,
            self.features[rows],
            self.noise[rows],
            None if self.own is None else self.own[rows],
            None if self.reach is None else self.reach[rows],
            None if self.beside is None else self.beside[:, rows],
        )

    def draws(self, count: int, rng: np.random.Generator, *, scale: float = 1.0) -> Floats:
        """(count, n): joint draws of the expected rewards, their deviations from the mean times `scale`."""
        deviations = (self.belief.sample(count, rng) - self.belief.mean) @ self.features.T
        if self.beside is not None:
            deviations += rng.standard_normal((count, len(self.beside))) @ self.beside
        if self.own is not None:
            deviations += np.sqrt(self.own) * self._items_noise(count, rng)
        return np.asarray(self.mean + scale * deviations)

    def spread(self, noise: CommonNoise) -> tuple[Floats, Floats]:
        """(draws, n) deviations by what is the user's, and (draws, n) by what is the items' own."""
        (n, d), e = self.features.shape, 0 if self.beside is None else len(self.beside)
        mine, others, own = np.split(noise.columns(d + e + n), [d, d + e], axis=1)
        weights = self.belief.spread(mine.T).T @ self.features.T
        if self.beside is not None:
            weights += others @ self.beside
        return weights, own * np.sqrt(np.zeros(n) if self.own is None else self.own)

    def _items_noise(self, count: int, rng: np.random.Generator) -> Floats:
        """(count, n) of standard normal noise, an item's the same in whatever order the items come."""
        place = np.empty(len(self.mean), dtype=np.int64)
        place[np.argsort(self.mean, kind="stable")] = np.arange(len(place))
        return np.asarray(rng.standard_normal((len(place), count))[place].T)

    def root(self) -> Floats:
        """(m, n): a matrix R with RᵀR how the user's unknowns move the expected rewards together."""
        weights = self.belief.score_root(self.features)
        return weights if self.beside is None else np.concatenate([weights, self.beside])

    def variance(self) -> Floats:
        """(n,): how uncertain each expected reward is."""
        shared = (self.root() ** 2).sum(axis=0)
        return np.asarray(shared if self.own is None else shared + self.own)
