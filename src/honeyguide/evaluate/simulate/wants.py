"""What people want at a moment: the truth with drift, seasons, boredom and what they have. No policy sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from honeyguide.evaluate.simulate.dice import key_of, normals, uniforms
from honeyguide.evaluate.simulate.shops import SimulatedShop, standardised
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.types import Floats, Rows

_ASKED = 300  # users whose page of best sellers sets how much a page earns


@dataclass(slots=True)
class _Person:
    bored: Floats
    taken: set[int] = field(default_factory=set)


class Wants:
    """Chances that people are attracted by items, were they to look at them.

    A person is a number; `row` is the truth's user whose tastes they have.
    """

    def __init__(self, shop: SimulatedShop, world: World, *, seed: int) -> None:
        self.shop = shop
        self.world = world
        self.truth = shop.truth
        self._drift = key_of(seed, "drift")
        self._people: dict[int, _Person] = {}
        self._interests = int(shop.truth.interest.max()) + 1
        self._phase = 2 * np.pi * uniforms(key_of(seed, "season"), np.arange(self._interests))
        if world.only_popular:
            self._per_match = 0.0
            self._appeal = shop.truth.per_quality * standardised(shop.facts.popularity.astype(np.float64))
        else:
            hidden = world.hidden * normals(key_of(seed, "hidden"), np.arange(len(shop)))
            self._per_match = shop.truth.per_match
            self._appeal = shop.truth.per_quality * shop.truth.quality + hidden
        self._appeal = self._appeal + self._level()

    def chance(self, person: int, row: int, day: float, rows: Rows) -> Floats:
        """(n,): how likely each of the items attracts this person on this day."""
        logits = self._appeal[rows] + self._season(day)[self.truth.interest[rows]]
        if self._per_match:
            tastes = self.truth.tastes[self.tastes(person, row, day)]
            weights = self.truth.weights[self.truth.of_user(row)]
            logits = logits + self._per_match * self.truth.match(tastes, weights, rows)
        known = self._people.get(person)
        if known is None:
            return np.asarray(expit(logits))
        found = expit(logits - self.world.boredom * known.bored[self.truth.interest[rows]])
        if not self.shop.again:
            found[[row in known.taken for row in rows.tolist()]] = 0.0
        return np.asarray(found)

    def tastes(self, person: int, row: int, day: float) -> Rows:
        """(m,): which tastes the person has on a day: each may have given way to another, every `drift_days`."""
        own = self.truth.of_user(row)
        periods = int(day // self.world.drift_days)
        if periods == 0 or self.world.drift == 0:
            return own
        place, period = np.arange(len(own))[:, None], np.arange(periods)
        moved = uniforms(self._drift, person, place, period) < self.world.drift
        last = periods - 1 - moved[:, ::-1].argmax(axis=1)
        other = uniforms(self._drift + 1, person, place[:, 0], last) * len(self.truth.tastes)
        return np.where(moved.any(axis=1), other.astype(np.int64), own)

    def shown(self, person: int, rows: Rows) -> None:
        """A page was shown: what the person saw before bores them half as much as it did, and this page anew."""
        page = np.bincount(self.truth.interest[rows], minlength=self._interests) / len(rows)
        known = self._person(person)
        known.bored = known.bored / 2 + page / 2

    def took(self, person: int, row: int) -> None:
        """The person has this item now."""
        self._person(person).taken.add(row)

    def _person(self, person: int) -> _Person:
        if person not in self._people:
            self._people[person] = _Person(np.zeros(self._interests))
        return self._people[person]

    def _season(self, day: float) -> Floats:
        return np.asarray(self.world.season * np.sin(self._phase + 2 * np.pi * day / self.world.season_days))

    def _level(self) -> float:
        """The logit that makes the best sellers' page earn the world's share of all users who might come."""
        rows = self.shop.facts.by_popularity[: self.world.k]
        users = np.concatenate([self.shop.past, self.shop.present])
        users = users[:: max(len(users) // _ASKED, 1)]
        truth = self.truth
        match = np.stack(
            [truth.match(truth.tastes[own], truth.weights[own], rows) for own in map(truth.of_user, users)]
        )
        logits = self._appeal[rows] + self._per_match * match
        return float(brentq(lambda level: expit(logits + level).mean() - self.world.share, -60.0, 60.0))
