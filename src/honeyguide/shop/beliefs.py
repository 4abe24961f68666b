"""What the posterior says about a user's interests, in one number and an interval per interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from honeyguide.explore.posterior import UserPosterior
from honeyguide.interests.classify import classify
from honeyguide.interests.users import History, ShopperModel, sequence_of
from honeyguide.shop.models import Fitted
from honeyguide.types import Floats, Rows

_ANY = 1e-6  # of the chance that it is an interest: everything that was taken is told, with its chance
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
    next: float
    """The chance that it comes next; the share that is usual in the shop where no sequence model was fitted."""
    surely: float
    """The chance that the user wants more of it than shoppers in general do."""
    evidence: tuple[str, ...]
    """The items that the user took of it, the weightiest first: at most three."""


class Beliefs:
    """Reads interests off a posterior."""

    def __init__(self, model: ShopperModel, fitted: Fitted) -> None:
        self.model = model
        self.fitted = fitted
        leaves = len(model.items.top_of_leaf)
        taken = np.bincount(model.items.leaf, weights=model.items.taken, minlength=leaves) + 1.0
        self._base: Floats = taken / taken.sum()

    @cached_property
    def _typical(self) -> list[Rows]:
        return [_typical(self.model, leaf) for leaf in range(len(self.model.items.top_of_leaf))]

    def of(
        self, posterior: UserPosterior, user_id: str, history: History, now_us: int
    ) -> tuple[UserInterest, ...]:
        """Every interest that has items, best first."""
        share = self.model.interest_weight(history)
        coming = self._next(history, now_us)
        labels = {
            label.leaf: label for label in classify(history, self.model.items.leaf, self._base, least=_ANY)
        }
        found = []
        for leaf, rows in enumerate(self._typical):
            if not len(rows):
                continue
            typical = self.model.features(history, rows, now_us).mean(axis=0, keepdims=True)
            about = posterior.about_features(user_id, typical, np.array([leaf]))
            mean, margin = float(about.mean[0]), 1.96 * float(np.sqrt(about.variance()[0]))
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
                    next=float(coming[leaf]),
                    surely=labels[leaf].surely if leaf in labels else 0.0,
                    evidence=self._ids(labels[leaf].evidence) if leaf in labels else (),
                )
            )
        return tuple(sorted(found, key=lambda interest: -interest.mean))

    def _next(self, history: History, now_us: int) -> Floats:
        """(leaves,): the chance that each interest comes next."""
        forecast, model = self.fitted.forecast, self.fitted.sequence
        if forecast is None or model is None:
            return self._base
        return np.asarray(forecast.chances(model, sequence_of(history, model.items, now_us))[0])

    def _ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.fitted.catalog.ids[row] for row in rows)


def _typical(model: ShopperModel, leaf: int) -> Rows:
    rows = np.flatnonzero(model.items.leaf == leaf)
    return rows[np.argsort(-model.items.popularity[rows], kind="stable")][:_TYPICAL]
