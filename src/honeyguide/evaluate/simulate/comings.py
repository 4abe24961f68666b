"""Who comes when: first visits by the season's traffic, and returns that good pages make likelier."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from honeyguide.evaluate.simulate.dice import key_of, uniforms
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.types import Floats

_MEMORY = 0.5  # how much of what pages were worth is remembered by the next one
_FARTHEST = 2.0  # pages better than three times the usual ones please no more than those


@dataclass(frozen=True, slots=True, order=True)
class Coming:
    """A person comes: on which day, who, and for which time (0 is the first)."""

    day: float
    person: int
    nth: int


class Comings:
    """The people of one season in the order in which they come.

    Equal seeds bring the same people at the same times, whatever is shown to them, unless the world has them stay
    for good pages: even then equal pages mean equal returns.
    """

    def __init__(self, world: World, *, seed: int) -> None:
        self.world = world
        self._returns, self._gaps = key_of(seed, "returns"), key_of(seed, "gaps")
        people = np.arange(world.users)
        self._short = uniforms(key_of(seed, "short"), people) < world.short_share
        grid = np.linspace(0.0, world.days, 2001)
        mass = np.concatenate([[0.0], np.cumsum(self._traffic((grid[1:] + grid[:-1]) / 2))])
        first = np.interp(uniforms(key_of(seed, "first"), people) * mass[-1], mass, grid)
        self._heap = [Coming(float(day), person, 0) for person, day in enumerate(first)]
        heapq.heapify(self._heap)
        self._pleased: dict[int, float] = {}

    def next(self) -> Coming | None:
        """Who comes next; None once the season is over."""
        return heapq.heappop(self._heap) if self._heap else None

    def left(self, coming: Coming, rewarded: float) -> None:
        """A visit is over whose page was taken so much of (rewards a slot): the person may come back."""
        pleased = self._please(coming.person, rewarded)
        mean = self.world.short_visits if self._short[coming.person] else self.world.visits
        stays = expit(logit(1 - 1 / mean) + self.world.retention * pleased)
        if uniforms(self._returns, coming.person, coming.nth)[0] >= stays:
            self._pleased.pop(coming.person, None)
            return
        wait = -np.log(uniforms(self._gaps, coming.person, coming.nth)[0]) * self.world.gap_days
        day = coming.day + float(wait / self._traffic(np.array(coming.day)))
        if day < self.world.days:
            heapq.heappush(self._heap, Coming(day, coming.person, coming.nth + 1))

    def _please(self, person: int, rewarded: float) -> float:
        """How much better than usual a person's pages were, 0 for as good as `share`, 1 for twice as good."""
        usual = self.world.share
        before = self._pleased.get(person, 0.0)
        now = min((rewarded - usual) / usual, _FARTHEST)
        self._pleased[person] = _MEMORY * before + (1 - _MEMORY) * now
        return self._pleased[person]

    def _traffic(self, day: Floats) -> Floats:
        """Traffic on a day relative to the mean; never quite nothing."""
        swing = 1 + self.world.peak * np.sin(2 * np.pi * day / self.world.season_days)
        return np.asarray(np.maximum(swing, 0.05))
