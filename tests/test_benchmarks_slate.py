"""The ways to fill a page that the benchmark compares are what they say: exact propensities, told another way."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson, drawn_scores
from honeyguide.types import Candidates

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from slate import RIVALS, Fill, one_draw, one_set, shares_of_pages
finally:
    sys.path.remove(str(BENCHMARKS))

N, K, FLOOR = 7, 3, 0.3
POLICY = Thompson(UserPosterior(Prior.isotropic(2)), level=1.0, floor=FLOOR, draws=16)
CANDIDATES = Candidates(
    "ann", tuple("abcdefg"), np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
)


@pytest.mark.parametrize("fill", [one_set, *RIVALS.values()])
def test_a_page_is_of_distinct_items_and_may_hold_them_all(fill: Fill) -> None:
    page, propensities = fill(POLICY, CANDIDATES, N, np.random.default_rng(1))
    assert sorted(page.tolist()) == list(range(N))
    assert ((propensities > 0) & (propensities <= 1 + 1e-12)).all()
    assert propensities[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(20))
def test_a_page_of_one_draw_is_as_likely_as_the_draws_would_fill_it(seed: int) -> None:
    page, propensities = one_draw(POLICY, CANDIDATES, K, np.random.default_rng(seed))
    scores = drawn_scores(POLICY.posterior, CANDIDATES, np.random.default_rng(seed), level=1.0, draws=16)
    chances = []
    for row in scores:  # a draw puts its best of what is left into every slot, but for the floor
        left, chance = list(range(N)), 1.0
        for shown in page.tolist():
            best = max(left, key=lambda item: row[item])
            chance *= (1 - FLOOR) * (best == shown) + FLOOR / len(left)
            left.remove(shown)
        chances.append(chance)
    assert propensities.prod() == pytest.approx(np.mean(chances))


def test_shares_of_pages_are_how_often_an_item_is_on_the_page_of_a_draw() -> None:
    page, propensities = shares_of_pages(POLICY, CANDIDATES, K, np.random.default_rng(3))
    scores = drawn_scores(POLICY.posterior, CANDIDATES, np.random.default_rng(3), level=1.0, draws=16)
    share = np.mean([page[0] in np.argsort(-row)[:K] for row in scores]) / K
    assert propensities[0] == pytest.approx((1 - FLOOR) * share + FLOOR / N)
