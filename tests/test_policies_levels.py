"""Levels that are drawn: their chances follow from sums, and from nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from honeyguide.checks.policy import (
    DIM,
    TIME,
    PolicyCheck,
    equal_states,
    page,
    pmf_of,
    reward_of,
    train,
    world,
)
from honeyguide.errors import InvalidInput
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.drawn import Chooser, Drawn, lot
from honeyguide.explore.gradient import Gradient, climbed
from honeyguide.explore.level_sums import LEVELS, LevelSums
from honeyguide.explore.meta import Champion, Corral, log_barrier
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.returns import ACTIVITIES, Returns, activity_of
from honeyguide.explore.thompson import thompson_pmf
from honeyguide.types import Candidates, Decision, Floats, Plan, Policy
from tests.policy_cases import cases, posterior

CHOOSERS: dict[str, Callable[[], Chooser]] = {
    "Corral": Corral,
    "Champion": lambda: Champion(0.3),
    "Gradient": lambda: Gradient(30.0),
}


def drawing(chooser: Chooser) -> Callable[[int], Policy]:
    return lambda dim: Drawn(posterior(dim), type(chooser).from_state(chooser.state()), floor=0.05, draws=64)


MAKES: dict[str, Callable[[int], Policy]] = {
    f"Drawn-{name}": drawing(make()) for name, make in CHOOSERS.items()
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


@cache
def a_page() -> Decision:
    """Three slots that were shown to Ann."""
    return page(Uniform(), world(), 0)


def shown(level: float, chance: float | None, *, days: float = 0.0, visits: float = 10.0) -> Decision:
    """That page at a level that had this chance."""
    base = a_page()
    return replace(
        base,
        candidates=replace(base.candidates, remaining_visits=visits),
        time=TIME + timedelta(days=days),
        plan=Plan(level, "", base.plan.scores, chance),
    )


def rewards(*each: float) -> Floats:
    return np.array(each)


def test_slots_are_weighed_by_one_over_the_chance_of_their_level() -> None:
    sums = LevelSums()
    sums.add(shown(0.1, 0.25), rewards(1.0, 0.5, 0.0))
    sums.add(shown(0.1, 0.5).only([1]), rewards(1.0))
    assert sums.totals[1] == pytest.approx(
        np.array([[3 * 4 + 2, 1.5 * 4 + 2, 1.25 * 4 + 2], [3 * 16 + 4, 1.5 * 16 + 4, 1.25 * 16 + 4]])
    )
    assert not sums.totals[[0, 2, 3]].any()


def test_what_was_not_drawn_or_is_pinned_tells_nothing_of_levels() -> None:
    sums = LevelSums()
    sums.add(shown(0.1, None), rewards(1.0, 1.0, 1.0))
    sums.add(shown(0.3, 0.5), rewards(1.0, 1.0, 1.0))
    drawn = shown(0.1, 0.5)
    certain = np.array([1.0, *drawn.propensities[1:]])
    sums.add(replace(drawn, pins=((0, int(drawn.chosen[0])),), propensities=certain), rewards(1.0, 0.0, 0.0))
    assert sums.totals[1, 0].tolist() == [4.0, 0.0, 0.0]
    assert not sums.totals[[0, 2, 3]].any()


def test_the_leader_of_a_log_barrier_by_hand() -> None:
    # 1 / w differs by the gains and w sums to 1: 2/3 and 1/3 lie 1.5 apart
    assert log_barrier(np.array([1.5, 0.0])) == pytest.approx([2 / 3, 1 / 3])
    assert log_barrier(np.array([7.0, 7.0, 7.0])) == pytest.approx(np.full(3, 1 / 3))
    for seed in range(20):
        gains = np.random.default_rng(seed).normal(0, 10.0**seed / 1e6, 4)
        w = log_barrier(gains)
        assert w.sum() == pytest.approx(1.0)
        assert np.ptp(1 / w + gains) <= 1e-9 * (1 / w).max()


def test_before_anything_is_known_levels_are_drawn_alike_or_exploit_only_is_the_champion() -> None:
    assert Corral().chances(5.0) == pytest.approx(np.full(4, 0.25))
    assert Gradient(30.0).chances(5.0) == pytest.approx(np.full(4, 0.25))
    assert Champion(0.3).chances(5.0) == pytest.approx([0.7, 0.1, 0.1, 0.1])


def taught(chooser: Chooser, worth: Callable[[int], float], pages: int, *, visits: float = 10.0) -> None:
    """Draw levels by the chooser's own chances; level number n earns worth(n) a slot, on days that nobody shares."""
    rng = np.random.default_rng(0)
    for at in range(pages):
        chances = chooser.chances(visits)
        level = int(rng.choice(len(LEVELS), p=chances))
        decision = replace(
            shown(LEVELS[level], float(chances[level]), visits=visits), user_id=f"user-{at % 50}"
        )
        chooser.add(decision, (rng.random(3) < worth(level)).astype(np.float64))


@pytest.mark.parametrize("best", range(len(LEVELS)))
def test_the_level_that_earns_most_is_drawn_most(best: int) -> None:
    chooser = Corral()
    taught(chooser, lambda level: 0.5 if level == best else 0.2, 300)
    chances = chooser.chances(1.0)
    assert chances.argmax() == best
    assert chances[best] > 0.7
    assert chances.min() >= 0.02


def test_a_challenger_takes_over_only_when_it_is_proven_better() -> None:
    chooser = Champion(0.5)
    taught(chooser, lambda level: 0.2, 200)
    assert chooser.champion == 0
    taught(chooser, lambda level: 0.9 if level == 2 else 0.1, 400)
    assert chooser.champion == 2
    assert chooser.chances(1.0) == pytest.approx([0.5 / 3, 0.5 / 3, 0.5, 0.5 / 3])


def test_a_few_slots_that_went_well_prove_nothing() -> None:
    chooser = Champion(0.1)
    chooser.add(shown(0.0, 0.9), rewards(0.0, 0.0, 0.0))
    chooser.add(shown(0.5, 0.1 / 3), rewards(1.0, 1.0, 1.0))
    assert chooser.champion == 0


def test_the_champion_is_not_dethroned_by_luck() -> None:
    """In 50 shops where levels earn the same, looked at again and again, hardly any challenger is ever believed."""
    dethroned = 0
    for seed in range(50):
        rng, chooser = np.random.default_rng(seed), Champion(0.3)
        chances = chooser.chances(1.0)
        for _ in range(80):
            level = int(rng.choice(len(LEVELS), p=chances))
            chooser.add(shown(LEVELS[level], float(chances[level])), (rng.random(3) < 0.3).astype(np.float64))
            if chooser.champion != 0:
                dethroned += 1
                break
    assert dethroned <= 4


def test_a_page_is_credited_with_its_day_and_the_discounted_days_after_it() -> None:
    returns = Returns(10.0)
    returns.add(shown(0.1, 0.25, days=0), rewards(1.0, 0.0, 0.0))
    returns.add(shown(0.5, 0.5, days=5), rewards(1.0, 1.0, 0.0))
    returns.add(shown(0.0, None, days=12), rewards(0.5, 0.0, 0.0))  # too late for the first, and not drawn
    early, late = 1 + 2 * np.exp(-0.5), 2 + 0.5 * np.exp(-0.7)
    found = returns.totals[activity_of(10.0)]
    assert found[1] == pytest.approx([4, 4 * early, 4 * early**2], abs=1e-4)
    assert found[3] == pytest.approx([2, 2 * late, 2 * late**2], abs=1e-4)
    assert not found[[0, 2]].any()
    assert returns.totals.sum() == pytest.approx(found.sum())


def test_of_others_a_user_earns_nothing() -> None:
    returns = Returns(10.0)
    returns.add(shown(0.1, 0.5), rewards(0.0, 0.0, 0.0))
    returns.add(replace(shown(0.1, 0.5, days=1), user_id="bob"), rewards(1.0, 1.0, 1.0))
    assert returns.totals[activity_of(10.0), 1] == pytest.approx([4, 6, 18], abs=1e-4)


def test_activity_grows_with_the_visits_expected() -> None:
    found = [activity_of(visits) for visits in (0.0, 1.0, 1.5, 3.9, 4.0, 11.0, 12.0, 500.0)]
    assert found == [0, 0, 1, 1, 2, 2, 3, 3]


def totals(per_level: Callable[[int, int], float], pages: float) -> Floats:
    """Pages of every activity and level, all of the return that is said, and nearly no spread."""
    found = np.zeros((ACTIVITIES, len(LEVELS), 3))
    for activity in range(ACTIVITIES):
        for level in range(len(LEVELS)):
            value = per_level(activity, level)
            found[activity, level] = pages * np.array([1, value, value**2 + 0.1])
    return found


def test_users_who_come_often_may_get_more_exploring_than_those_who_come_once() -> None:
    chooser = Gradient(30.0)
    chooser.returns = _Told(totals(lambda activity, level: 0.3 * level * (2 * activity - 3), 200.0))
    means = [float(chooser.chances(visits) @ LEVELS) for visits in (1.0, 2.0, 5.0, 20.0)]
    assert all(low < high for low, high in pairwise(means))
    assert means[0] < 0.1 < 0.4 < means[-1]


class _Told(Returns):
    """Returns whose totals are said."""

    def __init__(self, found: Floats) -> None:
        super().__init__(30.0)
        self.found = found

    @property
    def totals(self) -> Floats:
        return self.found


def test_where_levels_earn_alike_the_gradient_is_flat() -> None:
    assert climbed(totals(lambda activity, level: 0.4 + activity, 500.0)) == pytest.approx(
        np.zeros(3), abs=1e-9
    )


def test_the_gradient_is_that_of_the_regularised_return() -> None:
    """Where the climb ends the objective, differentiated numerically, is flat."""
    found = totals(lambda activity, level: 0.02 * level * (activity - 1), 30.0)
    pages, returns, squares = np.moveaxis(found, 2, 0)
    mean = returns.sum(axis=1) / pages.sum(axis=1)
    spread = (squares - 2 * mean[:, None] * returns + mean[:, None] ** 2 * pages).sum() / len(LEVELS)
    level = np.array(LEVELS) / max(LEVELS)

    def objective(weights: Floats) -> float:
        total = -0.5 * float(weights @ weights)
        for activity in range(ACTIVITIES):
            height = weights[0] * level + weights[1] * level**2
            height = height + weights[2] * level * (2 * activity / (ACTIVITIES - 1) - 1)
            policy = np.exp(height) / np.exp(height).sum()
            gain = returns[activity] - mean[activity] * pages[activity]
            total += float(policy @ gain) / np.sqrt(1 + spread)
        return total

    end = climbed(found)
    slope = [(objective(end + 1e-5 * way) - objective(end - 1e-5 * way)) / 2e-5 for way in np.eye(3)]
    assert np.abs(end).max() > 0.1
    assert slope == pytest.approx(np.zeros(3), abs=1e-3)


@pytest.mark.parametrize("name", CHOOSERS)
def test_chances_do_not_depend_on_the_order_or_on_what_was_taken_back(name: str) -> None:
    one, other = CHOOSERS[name](), CHOOSERS[name]()
    pages = [
        (shown(LEVELS[at % 4], 0.25 + at / 100, days=at / 3, visits=1.0 + at), np.full(3, at / 20))
        for at in range(12)
    ]
    for decision, reward in pages:
        one.add(decision, reward)
    for decision, reward in reversed(pages):
        for slot in (2, 0, 1):
            other.add(decision.only([slot]), reward[[slot]])
        other.add(replace(decision, user_id="bob"), 1 - reward)
    extra = shown(0.25, 0.1, days=2)
    other.add(extra, rewards(1.0, 1.0, 1.0))
    other.subtract(extra, rewards(1.0, 1.0, 1.0))
    other.forget("bob")
    other.forget("nobody")
    assert equal_states(one.state(), other.state())
    for visits in (1.0, 3.0, 9.0, 30.0):
        assert np.array_equal(one.chances(visits), other.chances(visits))
    restored = type(one).from_state(one.state())
    assert np.array_equal(restored.chances(9.0), one.chances(9.0))


def test_a_level_is_drawn_as_often_as_its_chance_says_and_the_chance_is_logged() -> None:
    policy = Drawn(UserPosterior(Prior.isotropic(DIM)), Champion(0.3), floor=0.05, draws=4)
    plans = [policy.plan(replace(world(), user_id=f"user-{at}")) for at in range(3000)]
    for level, chance in zip(LEVELS, [0.7, 0.1, 0.1, 0.1], strict=True):
        drawn = [plan for plan in plans if plan.level == level]
        assert [plan.chance for plan in drawn] == pytest.approx([chance] * len(drawn))
        assert len(drawn) / 3000 == pytest.approx(chance, abs=4.5 * np.sqrt(chance * (1 - chance) / 3000))


def test_the_lot_is_even_and_follows_from_the_request_but_for_the_order() -> None:
    lots = np.sort([lot(0, replace(world(), user_id=f"user-{at}")) for at in range(2000)])
    assert np.abs(lots - (np.arange(2000) + 0.5) / 2000).max() < 1.95 / np.sqrt(2000)  # Kolmogorov, p = 0.001
    candidates = world()
    order = np.random.default_rng(0).permutation(len(candidates))
    assert lot(0, candidates.take(order)) == lot(0, candidates)
    others = [
        replace(candidates, remaining_visits=9.0),
        replace(candidates, features=candidates.features * 2),
    ]
    assert len({lot(0, each) for each in (candidates, *others)} | {lot(1, candidates)}) == 4


def test_a_page_is_drawn_at_its_level_throughout() -> None:
    policy = MAKES["Drawn-Corral"](DIM)
    train(policy, 20)
    assert isinstance(policy, Drawn)
    level = policy.plan(world()).level
    own = thompson_pmf(policy.posterior, world(), np.random.default_rng(7), level=level, floor=0.05, draws=64)
    assert np.array_equal(pmf_of(policy, world()), own)
    assert page(policy, world(), 3).plan.level == level


def test_what_the_posterior_refuses_no_chooser_counts() -> None:
    policy = MAKES["Drawn-Gradient"](DIM)
    before = policy.state()
    with pytest.raises(InvalidInput):
        policy.update(page(policy, world(), 0), np.array([0.0, 2.0, 0.0]))
    assert equal_states(before, policy.state())
    decision = page(policy, world(), 0)
    policy.update(decision, reward_of(decision))
    assert not equal_states(before, policy.state())


NO_CHOOSER: Any = object()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Champion(0.0), "share"),
        (lambda: Champion(0.6), "share"),
        (lambda: Gradient(0.0), "horizon_days"),
        (lambda: Gradient(np.inf), "horizon_days"),
        (lambda: Drawn(posterior(2), NO_CHOOSER, floor=0.1, draws=8), "drawn by one of"),
        (lambda: Drawn(posterior(2), Corral(), floor=0.1, draws=1), "draws"),
        (lambda: Plan(0.1, "", np.zeros(2), chance=0.0), "chance"),
        (lambda: Plan(0.1, "", np.zeros(2), chance=1.5), "chance"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()


def test_a_candidate_list_of_one_draws_a_level_too() -> None:
    one = Candidates("ann", ("a",), np.ones((1, DIM), dtype=np.float32))
    assert MAKES["Drawn-Corral"](DIM).plan(one).level in LEVELS
