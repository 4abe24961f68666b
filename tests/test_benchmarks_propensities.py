"""What the benchmark of propensities counts, and that it finds a log which is not what was drawn."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from honeyguide.config import Explore
from honeyguide.shop.policies import make_policy
from honeyguide.types import Floats

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    import propensities
    from propensities import ITEMS, Accountant, Drawn, Miscounted, Tally, decided, examine, shop_state
finally:
    sys.path.remove(str(BENCHMARKS))


def test_with_one_distribution_for_all_the_test_is_pearsons() -> None:
    chances = np.array([0.1, 0.2, 0.7])
    drawn = np.repeat(np.arange(3), [17, 15, 68])
    tally = Tally(3)
    tally.add(np.tile(chances, (40, 1)), drawn[:40])
    tally.add(np.tile(chances, (60, 1)), drawn[40:])
    p, freedom = tally.chi_square()
    assert freedom == 2
    assert p == pytest.approx(chisquare([17, 15, 68], 100 * chances).pvalue)


def slots(logged: Floats, true: Floats, m: int = 20_000) -> Drawn:
    """Slots that are drawn from `true` and logged as drawn from `logged`."""
    place = np.random.default_rng(0).choice(ITEMS, size=m, p=true)
    return Drawn(np.tile(logged, (m, 1)), place)


@pytest.mark.parametrize(("moved", "kept"), [(0.0, True), (0.02, False), (-0.02, False)])
def test_a_log_that_is_not_what_was_drawn_is_found(moved: float, kept: bool) -> None:
    logged = np.array([0.5, 0.3, 0.1, 0.06, 0.04])
    accountant = Accountant()
    accountant.add(slots(logged, logged + moved * np.array([1, 0, 0, 0, -1])))
    account = accountant.account("told", 20_000, 1.0)
    assert account.kept is kept
    assert (account.places_p > 0.001) is kept
    assert (abs(account.errors_off) <= 3) is kept


def test_what_only_the_mean_weight_tells_is_told() -> None:
    accountant = Accountant()
    accountant.add(Drawn(np.array([[0.5, 0.25, 0.25, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.2]]), np.array([1, 4])))
    account = accountant.account("told", 1, 1.0)
    assert account.inverse == pytest.approx((4 / 3 + 5 / 5) / 2)
    assert account.errors_off == pytest.approx((account.inverse - 1) / ((1 / 6) / np.sqrt(2)))


@pytest.mark.parametrize("name", ["tradeoff", "diverse-0.3-thompson-0.5"])
def test_what_a_policy_logs_is_what_it_drew(name: str) -> None:
    account = examine(name, 60, seed=1)
    assert account.slots == 120
    assert account.kept


def test_a_propensity_that_the_policy_did_not_give_ends_the_run() -> None:
    policy = make_policy("uniform", shop_state(), Explore(), seed=0)
    decision = next(decided(policy, 1, seed=0))
    with pytest.raises(Miscounted):
        propensities._places(decision, [np.full(5, 0.2), np.full(4, 0.26)])
