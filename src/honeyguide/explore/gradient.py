"""Which level is drawn for whom, by policy gradient on what users earn in the long run."""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.level_sums import LEVELS
from honeyguide.explore.returns import ACTIVITIES, Returns, activity_of
from honeyguide.types import Decision, Floats, State

_LEAST = 0.02  # the least chance of a level: no page of it counts for more than 50
_STEPS = 40


def _traits() -> Floats:
    """(activities, levels, 3): the level, its square, and the level times how active a user is, all in -1..1."""
    level = np.array(LEVELS) / max(LEVELS)
    active = np.linspace(-1, 1, ACTIVITIES)[:, None]
    return np.stack(np.broadcast_arrays(level, level**2, level * active), axis=2)


_TRAITS = _traits()


class Gradient:
    """Chances in proportion to e^(traits · weights), with the weights that REINFORCE with a baseline leads to.

    The three traits of a level say how high it is, how far from the middle, and how high it is for a user who will
    come often: so those who come once and those who come for years may get other levels, and learn from each other.
    Rewards are `Returns`: what the user earned from then on (as progressive as in Impatient Bandits, arXiv
    2501.07761: later rewards count as soon as they are there). Each page's is weighed by its level's chance under the
    policy over the logged one, less the mean of its activity. Instead of one step a page (Williams 1992), which
    would depend on their order, the weights climb from 0 to where gain · rate - |weights|² / 2 is flat, in as many
    steps each time. The rate is one over the spread of all returns: what may be luck moves little.
    """

    name = "gradient"

    def __init__(self, horizon_days: float) -> None:
        if not 0 < horizon_days < np.inf:
            raise InvalidInput(f"horizon_days must be above 0 and finite, got {horizon_days}")
        self.returns = Returns(float(horizon_days))
        self._chances: Floats | None = None

    def chances(self, remaining_visits: float) -> Floats:
        """(levels,): for users of whom so many more visits are expected."""
        if self._chances is None:
            policy = _shares(climbed(self.returns.totals))
            self._chances = (1 - len(LEVELS) * _LEAST) * policy + _LEAST
        return np.asarray(self._chances[activity_of(remaining_visits)])

    def add(self, decision: Decision, rewards: Floats) -> None:
        """Count the (k,) rewards of a decision's slots."""
        self.returns.add(decision, rewards)
        self._chances = None

    def subtract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back, to the bit."""
        self.returns.subtract(decision, rewards)
        self._chances = None

    def forget(self, user_id: str) -> None:
        """Drop a user's days, to the bit."""
        self.returns.forget(user_id)
        self._chances = None

    def state(self) -> State:
        """The users' days, and the horizon."""
        return self.returns.state()

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The chooser whose `state()` this is."""
        chooser = cls(float(state["returns.horizon_days"][0]))
        chooser.returns = Returns.from_state(state)
        return chooser


def climbed(totals: Floats) -> Floats:
    """(3,): the weights that the gradient leads to, of (activities, levels, 3) pages, returns and squares."""
    pages, returns, squares = np.moveaxis(totals, 2, 0)
    mean = returns.sum(axis=1) / np.maximum(pages.sum(axis=1), 1e-9)
    gains = returns - mean[:, None] * pages
    spread = (squares.sum(axis=1) - mean * returns.sum(axis=1)).clip(min=0).sum() / len(LEVELS)
    gains = gains / np.sqrt(1.0 + spread)
    weights = np.zeros(_TRAITS.shape[2])
    step = 1.0 / (1.0 + np.abs(gains).max(axis=1).sum())
    for _ in range(_STEPS):
        shares = _shares(weights)
        ahead = shares * (gains - (shares * gains).sum(axis=1, keepdims=True))
        weights = weights + step * (np.einsum("al,alt->t", ahead, _TRAITS) - weights)
    return weights


def _shares(weights: Floats) -> Floats:
    """(activities, levels): each activity's sum to 1."""
    heights = np.exp(_TRAITS @ weights)
    return np.asarray(heights / heights.sum(axis=1, keepdims=True))
