"""The reward model of the direct methods: what an item earns in a slot, learned from other users' pages.

It is learned out of fold: users are dealt into folds, and a page is judged by a model that saw no page of its user.
What it knows of a candidate is what the decision itself knew: its features, and the reward that was expected of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from honeyguide.errors import InvalidInput, MissingExtra, NoSupport
from honeyguide.evaluate.ope.asking import Answer
from honeyguide.evaluate.ope.pages import Pages
from honeyguide.types import Decision, Floats, Rows

FOLDS = 5

Predict: TypeAlias = Callable[[Floats, int], Floats]
"""(features (n, d), k) -> (k, n): the reward expected of each candidate in each of the first k slots."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a model learns from: one row per shown slot; `features` and `average` are (m, d), the rest (m,).

    `average` are the features of what the target would put into the slot, on average; `weight` is how much likelier
    the target is to show the item there than the logger was.
    """

    features: Floats
    average: Floats
    slot: Rows
    reward: Floats
    weight: Floats

    def take(self, rows: Rows) -> Lesson:
        """The rows at these places."""
        return Lesson(
            self.features[rows], self.average[rows], self.slot[rows], self.reward[rows], self.weight[rows]
        )


class RewardModel(Protocol):
    """Learns what items earn."""

    def fit(self, lesson: Lesson) -> Predict:
        """What the lesson teaches; equal lessons teach the same."""
        ...


@dataclass(frozen=True, slots=True)
class Ridge:
    """A reward that is linear in the features, with a level for each slot.

    `penalty` is worth as many slots in which nothing was learned of a feature; features are taken at their spread.
    """

    penalty: float = 1.0

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise InvalidInput(f"penalty must be above 0, got {self.penalty}")

    def fit(self, lesson: Lesson) -> Predict:
        """Least squares."""
        scale = _Scale.of(lesson.features)
        design = _design(scale.of_rows(lesson.features), lesson.slot, _length(lesson))
        return _linear(
            scale, solve(design, lesson.reward, self.penalty, free=_length(lesson)), _length(lesson)
        )


@dataclass(frozen=True, slots=True)
class LeastVariance:
    """The linear model under which the doubly robust estimate varies least (Farajtabar et al. 2018, 1802.03493).

    What a slot adds to that estimate is b·avg + w (r - b·x), with `avg` the features of what the target would show:
    linear in b, so least variance is least squares of w r on w x - avg.
    """

    penalty: float = 1.0

    def fit(self, lesson: Lesson) -> Predict:
        """Least squares over weighted differences; each slot has a value of its own."""
        k, scale = _length(lesson), _Scale.of(lesson.features)
        shown = _design(scale.of_rows(lesson.features), lesson.slot, k)
        average = _design(scale.of_rows(lesson.average), lesson.slot, k)
        moves = lesson.weight[:, None] * shown - average
        values = np.eye(k)[lesson.slot]
        found = solve(np.hstack([values, moves]), lesson.weight * lesson.reward, self.penalty, free=k)
        return _linear(scale, found[k:], k)


@dataclass(frozen=True, slots=True)
class Boosted:
    """Gradient-boosted trees of scikit-learn: for rewards that are far from linear; needs honeyguide[train]."""

    iterations: int = 100
    leaves: int = 15

    def fit(self, lesson: Lesson) -> Predict:
        """Trees over the features and the slot; no random numbers are used."""
        try:
            from sklearn.ensemble import HistGradientBoostingRegressor
        except ImportError:
            raise MissingExtra("scikit-learn", "train") from None
        trees = HistGradientBoostingRegressor(
            max_iter=self.iterations,
            max_leaf_nodes=self.leaves,
            early_stopping=False,
            random_state=0,
        )
        trees.fit(np.column_stack([lesson.features, lesson.slot]), lesson.reward)

        def predict(features: Floats, k: int) -> Floats:
            n = len(features)
            rows = np.column_stack([np.tile(features, (k, 1)), np.repeat(np.arange(k), n)])
            return np.asarray(trees.predict(rows).reshape(k, n))

        return predict


def expected_by(
    model: RewardModel, pages: Pages, log: Sequence[Decision], answers: Sequence[Answer], folds: int = FOLDS
) -> tuple[Floats, Floats]:
    """(expected of the target, expected of what was shown), both (m,): of each slot, by a model of other users."""
    fold = fold_of(pages.user, folds)
    lesson = _lesson(pages, log, answers)
    expected, shown = np.empty(len(pages.page)), np.empty(len(pages.page))
    start = np.concatenate([[0], np.cumsum([len(decision.chosen) for decision in log])])
    for number in np.unique(fold):
        predict = model.fit(lesson.take(np.flatnonzero(fold[pages.page] != number)))
        for page in np.flatnonzero(fold == number).tolist():
            decision, slots = log[page], slice(start[page], start[page + 1])
            k = len(decision.chosen)
            table = predict(known(decision), k)
            expected[slots] = (answers[page].placed * table).sum(axis=1)
            shown[slots] = table[np.arange(k), decision.chosen]
    return expected, shown


def known(decision: Decision) -> Floats:
    """(n, 1 + d): what the decision knew of each candidate: the reward it expected, and the features."""
    return np.column_stack([decision.plan.scores, decision.candidates.features.astype(np.float64)])


def fold_of(user: Rows, folds: int) -> Rows:
    """(n,): the fold of each page, the same for all of a user; NoSupport where there is one user alone."""
    if not user.any():
        raise NoSupport("all pages belong to one user, so nothing is known of how users differ: log more")
    return user % folds


def solve(design: Floats, values: Floats, penalty: float, *, free: int) -> Floats:
    """(p,): ridge regression of (m,) values on (m, p) columns, of which the first `free` are not held back."""
    held = np.full(design.shape[1], penalty)
    held[:free] = 1e-9
    return np.asarray(np.linalg.solve(design.T @ design + np.diag(held), design.T @ values))


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    centre: Floats
    spread: Floats

    @classmethod
    def of(cls, features: Floats) -> _Scale:
        spread = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(spread > 1e-12, spread, 1.0))

    def of_rows(self, features: Floats) -> Floats:
        return np.asarray((features - self.centre) / self.spread)


def _length(lesson: Lesson) -> int:
    return int(lesson.slot.max()) + 1


def _design(features: Floats, slot: Rows, k: int) -> Floats:
    """(m, k + d): a column per slot, then the features."""
    return np.hstack([np.eye(k)[slot], features])


def _linear(scale: _Scale, weights: Floats, k: int) -> Predict:
    def predict(features: Floats, slots: int) -> Floats:
        # a slot that no other user's page had is taken to be as the last that was seen
        levels = weights[:k][np.minimum(np.arange(slots), k - 1)]
        return np.asarray(levels[:, None] + (scale.of_rows(features) @ weights[k:])[None, :])

    return predict


def _lesson(pages: Pages, log: Sequence[Decision], answers: Sequence[Answer]) -> Lesson:
    shown, average = [], []
    for decision, answer in zip(log, answers, strict=True):
        table = known(
            decision
        )  # of one page at a time: of all candidates of all pages it would be the largest part
        shown.append(table[decision.chosen])
        average.append(answer.placed @ table)
    return Lesson(
        features=np.concatenate(shown),
        average=np.concatenate(average),
        slot=pages.slot,
        reward=pages.reward,
        weight=pages.weight,
    )
