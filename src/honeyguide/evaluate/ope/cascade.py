"""Cascade-DR (Kiyohara et al. 2022, arXiv 2202.01562): pages are read from the top, a slot may change what follows.

    v_0 + sum over slots j of W_j (r_j + v_{j+1} - Q_j)

Q_j is what a model expects the slots from j on to earn once j is filled as logged, v_j the same before it is filled
(the target fills it and what follows), and W_j how much likelier the target is to fill slots 0..j as logged. Right
whatever the model says; weights still multiply down the page, but only what the model did not foresee is weighted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from honeyguide.evaluate.ope.asking import Answer
from honeyguide.evaluate.ope.estimator import OffPolicy
from honeyguide.evaluate.ope.model import FOLDS, fold_of, known, solve
from honeyguide.evaluate.ope.pages import Pages
from honeyguide.types import Decision, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeDR(OffPolicy):
    """Doubly robust down the page: for rewards that depend on the slots above, as those of RIPS.

    Q_j is a ridge regression on the item in the slot and the one above it, learned from the last slot up.
    """

    penalty: float = 1.0

    modelled: ClassVar[bool] = True

    def _weights(self, answer: Answer) -> Floats:
        return np.asarray(np.cumprod(answer.ratio))

    def _modelled(self, pages: Pages, log: list[Decision], answers: list[Answer]) -> Pages:
        expected, shown = _foreseen(pages, log, answers, self.penalty)
        return replace(pages, expected=expected, shown=shown)

    def _value(self, pages: Pages) -> tuple[float, Floats]:
        first = pages.slot == 0
        following = np.where(np.append(first[1:], True), 0.0, np.append(pages.expected[1:], 0.0))
        surprise = pages.weight * (pages.reward + following - pages.shown)
        worth = pages.per_page(np.where(first, pages.expected, 0.0) + surprise)
        value = float(worth.mean())
        return value, (worth - value) / pages.n


def _foreseen(
    pages: Pages, log: Sequence[Decision], answers: Sequence[Answer], penalty: float
) -> tuple[Floats, Floats]:
    """(v, Q), both (m,): by models that saw no page of the page's user."""
    fold = fold_of(pages.user, FOLDS)[pages.page]
    facts = [_facts(decision, answer) for decision, answer in zip(log, answers, strict=True)]
    average, shown = (np.concatenate([pair[side] for pair in facts]) for side in (0, 1))
    # folds that must not teach each other keep what they foresee apart: (folds, m)
    numbers = np.unique(fold)
    v, q = np.zeros((len(numbers), len(fold))), np.zeros((len(numbers), len(fold)))
    for slot in range(int(pages.slot.max()), -1, -1):
        rows = np.flatnonzero(pages.slot == slot)
        longer = rows[np.isin(rows + 1, np.flatnonzero(pages.slot == slot + 1))]
        for at, number in enumerate(numbers):
            to_come = pages.reward[rows].astype(np.float64)
            to_come[np.isin(rows, longer)] += v[at, longer + 1]
            learn = fold[rows] != number
            centre, spread = shown[rows[learn]].mean(axis=0), shown[rows[learn]].std(axis=0)
            spread = np.where(spread > 1e-12, spread, 1.0)
            weights = solve(_design(shown[rows[learn]], centre, spread), to_come[learn], penalty, free=1)
            q[at, rows] = _design(shown[rows], centre, spread) @ weights
            v[at, rows] = _design(average[rows], centre, spread) @ weights
    mine = np.searchsorted(numbers, fold)
    places = np.arange(len(fold))
    return v[mine, places], q[mine, places]


def _facts(decision: Decision, answer: Answer) -> tuple[Floats, Floats]:
    """(of the target, of what was shown), both (k, 2 + 2d): the item's facts beside those of the item above."""
    table = known(decision)
    shown = table[decision.chosen]
    above = np.vstack([np.zeros(table.shape[1]), shown[:-1]])
    return np.hstack([answer.given @ table, above]), np.hstack([shown, above])


def _design(facts: Floats, centre: Floats, spread: Floats) -> Floats:
    return np.hstack([np.ones((len(facts), 1)), (facts - centre) / spread])
