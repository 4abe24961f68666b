"""The slots of one page, asked for one after the other: each by itself, or all under one set of joint draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from honeyguide.explore.shares import win_shares, with_floor
from honeyguide.types import Candidates, Floats, Policy, Rows

Slots: TypeAlias = Callable[[Sequence[int]], tuple[Rows, Floats]]
"""Rows that stand on the page -> (rows left, ascending; the chance of each to be in the next slot)."""

OnLeft: TypeAlias = Callable[[Rows], Floats]
"""Rows left -> the chance of each to be in the next slot."""


class Page(Protocol):
    """The method `page` of a policy that thinks once for a page: its answers are those it gives on what is left."""

    def __call__(self, candidates: Candidates, rng: np.random.Generator, *, level: float) -> OnLeft:
        """What answers for every slot of one page; the first answer is that of `probabilities`."""
        ...


def slots_of(policy: Policy, candidates: Candidates, rng: np.random.Generator, level: float) -> Slots:
    """What is asked for each slot of a page that the policy fills at this level."""
    asked_once: Page | None = getattr(policy, "page", None)  # a check of the whole protocol would take longer
    if asked_once is not None:
        answer = asked_once(candidates, rng, level=level)

        def at_once(page: Sequence[int]) -> tuple[Rows, Floats]:
            left = _left(len(candidates), page)
            return left, answer(left)

        return at_once

    def each(page: Sequence[int]) -> tuple[Rows, Floats]:
        left, asked = rest(candidates, page)
        return left, policy.probabilities(asked, rng, level=level)

    return each


def rest(candidates: Candidates, page: Sequence[int]) -> tuple[Rows, Candidates]:
    """(rows left, ascending; what a policy is asked for the next slot) when the rows of `page` stand on it."""
    left = _left(len(candidates), page)
    return left, candidates.take(left, shown=candidates.features[list(page)]) if page else candidates


def _left(n: int, page: Sequence[int]) -> Rows:
    free = np.ones(n, dtype=np.bool_)
    free[list(page)] = False
    return np.flatnonzero(free)


def shares_of(scores: Floats, floor: float) -> OnLeft:
    """Shares of wins over joint draws `scores` (draws, n), mixed with the floor: a slot's are among what is left."""
    return lambda left: with_floor(win_shares(scores[:, left]), floor)
