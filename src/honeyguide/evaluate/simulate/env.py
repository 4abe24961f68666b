"""A simulated shop as a Gymnasium environment: anyone's agent can play it, as in RecSim (Ie et al. 2019)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput, MissingExtra
from honeyguide.evaluate.simulate.play import Play, Visit
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.posterior import MAX_FEATURE
from honeyguide.types import Rows

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    raise MissingExtra("gymnasium", "sim") from None

Observation: TypeAlias = dict[str, Any]


class ShopEnv(gymnasium.Env[Observation, NDArray[np.int64]]):
    """One season of a shop: an observation is a visit, an action a page, the reward what was taken of it.

    Observations are `candidates` (candidates, d), a row of features for each, zero where there are fewer, and `user`
    (u,): their taste, the share of each interest in what they took, and how often they may still come, in hundreds.
    An action is (k,) rows of `candidates` in page order; what is named twice, or is not there, is left out, and what
    comes after it moves up (of a page of nothing the first candidate is shown). An episode ends with the season;
    `info` tells how many candidates there are and the best page's expected reward.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, shop: SimulatedShop, world: World) -> None:
        self.shop = shop
        self.world = world
        self._play = Play(shop, world, seed=0)
        d, u = self._play.seen.model.dim, len(self._play.seen.user_vector(0, 0.0))
        self._shapes = {"candidates": (world.candidates, d), "user": (u,)}
        boxes = {name: _box(shape) for name, shape in self._shapes.items()}
        self.observation_space: spaces.Space[Observation] = spaces.Dict(boxes)
        self.action_space = spaces.MultiDiscrete(np.full(world.k, world.candidates))
        self._visit: Visit | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """The first visit of a new season; equal seeds give equal seasons."""
        super().reset(seed=seed)
        self._play = Play(self.shop, self.world, seed=int(self.np_random.integers(2**62)))
        self._visit = self._play.next()
        return self._seen(), self._told()

    def step(self, action: NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show a page; what comes back is the next visit. InvalidInput once the season is over."""
        if self._visit is None:
            raise InvalidInput("the season is over, or has not begun: call reset()")
        page = _page(action, len(self._visit.rows))
        reward = float(self._play.show(self._visit, page).rewards.sum())
        self._visit = self._play.next()
        self._play.told()
        return self._seen(), reward, self._visit is None, False, self._told()

    def _seen(self) -> Observation:
        found: Observation = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}
        if self._visit is not None:
            features, coming = self._visit.candidates.features, self._visit.coming
            found["candidates"][: len(features)] = features
            found["user"][:] = self._play.seen.user_vector(coming.person, coming.day)
        return found

    def _told(self) -> dict[str, Any]:
        if self._visit is None:
            return {}
        best = self._play.worth(self._visit, self._play.best(self._visit))
        return {"candidates": len(self._visit.rows), "best": best}


def _box(shape: tuple[int, ...]) -> spaces.Space[Any]:
    return spaces.Box(-MAX_FEATURE, MAX_FEATURE, shape, np.float32)


def _page(action: NDArray[np.int64], there: int) -> Rows:
    """The distinct candidates that are there, in page order; the first where none is."""
    page = [row for row in dict.fromkeys(np.asarray(action).tolist()) if row < there]
    return np.array(page or [0], dtype=np.int64)
