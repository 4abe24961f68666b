"""Estimators that ask a reward model, slot by slot, and correct it by what was logged.

In each slot: what the model expects of the target there, plus s(w) times what the logged reward was more than the
model expected of the item shown. The estimators differ in s, how much of the weight w they let count.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.ope.asking import Answer
from honeyguide.evaluate.ope.estimator import OffPolicy
from honeyguide.evaluate.ope.model import LeastVariance, RewardModel, Ridge, expected_by
from honeyguide.evaluate.ope.pages import Pages
from honeyguide.evaluate.ope.weighting import ratio_of
from honeyguide.types import Decision, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class DR(OffPolicy):
    """Doubly robust: the whole weight counts, so a wrong model costs width and no bias (Dudík et al. 2011)."""

    model: RewardModel = field(default_factory=Ridge)

    slotwise: ClassVar[bool] = True
    modelled: ClassVar[bool] = True

    def _weights(self, answer: Answer) -> Floats:
        return answer.weight

    def _modelled(self, pages: Pages, log: list[Decision], answers: list[Answer]) -> Pages:
        expected, shown = expected_by(self.model, pages, log, answers)
        return replace(pages, expected=expected, shown=shown)

    def _value(self, pages: Pages) -> tuple[float, Floats]:
        surprise = self._counted(pages.weight) * (pages.reward - pages.shown)
        worth = pages.per_page(pages.expected + surprise)
        value = float(worth.mean())
        return value, (worth - value) / pages.n


@dataclass(frozen=True, slots=True, kw_only=True)
class MRDR(DR):
    """More robust doubly robust: the model is the one under which the estimate varies least."""

    model: RewardModel = field(default_factory=LeastVariance)


@dataclass(frozen=True, slots=True, kw_only=True)
class SNDR(DR):
    """Self-normalised doubly robust: the weights of each position are divided by their mean."""

    def _value(self, pages: Pages) -> tuple[float, Floats]:
        mean, error = ratio_of(pages, pages.reward - pages.shown)
        worth = pages.per_page(pages.expected + mean[pages.slot])
        value = float(worth.mean())
        return value, (worth - value + pages.per_page(error)) / pages.n


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partly(DR):
    """Where only part of the weight counts the model's word is taken for the rest, and may be wrong.

    `doubt` is by which share of what it expects there: a half by default, and 1 lets the truth be anything from
    nothing to twice as much. The interval is wider by that; with 0 it covers chance alone.
    """

    doubt: float = 0.5

    unbiased: ClassVar[bool] = False

    def __post_init__(self) -> None:
        OffPolicy.__post_init__(self)
        if not self.doubt >= 0:
            raise InvalidInput(f"doubt must be 0 or more, got {self.doubt}")

    @abstractmethod
    def _counted(self, weights: Floats) -> Floats: ...

    def _mass(self, weights: Floats) -> float:
        return float(self._counted(weights).mean())

    def measured(self, answers: Sequence[Answer]) -> float:
        """Which share of what the target would show was logged often enough to count, from 0 to 1."""
        weights = np.concatenate([answer.weight for answer in answers])
        return float(min(self._counted(weights).mean(), 1.0))

    def _interval(
        self, pages: Pages, value: float, influence: Floats, answers: list[Answer], *, gain: bool
    ) -> tuple[float, float]:
        low, high = OffPolicy._interval(self, pages, value, influence, answers, gain=gain)
        taken = pages.per_slot(pages.expected - self._counted(pages.weight) * pages.shown)
        allowed = self.doubt * float(np.abs(taken).sum()) / pages.n
        return low - allowed, high + allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class DM(_Partly):
    """The direct method: the model's word alone. Without `doubt` its interval knows of no error of the model."""

    def _counted(self, weights: Floats) -> Floats:
        return np.zeros(len(weights))

    def _mass(self, weights: Floats) -> float:
        return float(weights.mean())

    def _worth(self, weights: Floats) -> Floats:
        return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchDR(_Partly):
    """Weights above `most` do not count at all (SWITCH-DR: Wang, Agarwal & Dudík 2017, arXiv 1612.01205)."""

    most: float = 10.0

    def __post_init__(self) -> None:
        _Partly.__post_init__(self)
        if not self.most >= 0:
            raise InvalidInput(f"most must be 0 or more, got {self.most}")

    def _counted(self, weights: Floats) -> Floats:
        return np.where(weights <= self.most, weights, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DRos(_Partly):
    """Optimistic shrinkage: `shrink` w / (w² + `shrink`) counts of w (Su et al. 2020, arXiv 1907.09623).

    Small weights count nearly in full, and the largest count of any is that of sqrt(shrink): half of it.
    """

    shrink: float = 100.0

    def __post_init__(self) -> None:
        _Partly.__post_init__(self)
        if not self.shrink > 0:
            raise InvalidInput(f"shrink must be above 0, got {self.shrink}")

    def _counted(self, weights: Floats) -> Floats:
        return np.asarray(weights * self.shrink / (weights**2 + self.shrink))
