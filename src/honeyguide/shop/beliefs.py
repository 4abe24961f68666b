"""What the posterior says about a user's interests, in one number and an interval per interest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.explore.posterior import UserPosterior
from honeyguide.interests.users import History, ShopperModel
from honeyguide.shop.models import Fitted
from honeyguide.types import Rows

_TYPICAL = 8  # an interest stands for its most popular items: those are what a page would show of it


@dataclass(frozen=True, slots=True)
class UserInterest:
    """How much a user is held to want an interest: expected reward of its typical items, with 95 % interval."""

    leaf: int
    name: str
    within: str
    mean: float
    low: float
    high: float
    share: float
    """The share of what the user has taken so far that lies in this interest."""


class Beliefs:
    """Reads interests off a posterior."""

    def __init__(self, model: ShopperModel, fitted: Fitted) -> None:
        self.model = model
        self.fitted = fitted
        self._typical = [_typical(model, leaf) for leaf in range(len(model.items.top_of_leaf))]

    def of(
        self, posterior: UserPosterior, user_id: str, history: History, now_us: int
    ) -> tuple[UserInterest, ...]:
        """Every interest that has items, best first."""
        belief = posterior.belief(user_id)
        share = self.model.interest_weight(history)
        found = []
        for leaf, rows in enumerate(self._typical):
            if not len(rows):
                continue
            typical = self.model.features(history, rows, now_us).mean(axis=0, keepdims=True)
            mean = float((typical @ belief.mean)[0])
            margin = 1.96 * float(np.sqrt(belief.variance(typical)[0]))
            top = int(self.model.items.top_of_leaf[leaf])
            found.append(
                UserInterest(
                    leaf=leaf,
                    name=self.fitted.taxonomy.leaf_names[leaf],
                    within=self.fitted.taxonomy.top_names[top],
                    mean=mean,
                    low=mean - margin,
                    high=mean + margin,
                    share=float(share[leaf]),
                )
            )
        return tuple(sorted(found, key=lambda interest: -interest.mean))


def _typical(model: ShopperModel, leaf: int) -> Rows:
    rows = np.flatnonzero(model.items.leaf == leaf)
    return rows[np.argsort(-model.items.popularity[rows], kind="stable")][:_TYPICAL]
