"""What is known of whole pages: where a logger put items, what a target would put there, and what is pinned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import numpy as np
import pytest

from honeyguide.checks import estimator as laws
from honeyguide.errors import NoSupport
from honeyguide.evaluate.ope import IIPS, IPS, PI, SNIPS, ask
from honeyguide.evaluate.ope.asking import importance_weights
from honeyguide.evaluate.ope.placing import chance_of_place, ranked_floor
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.types import Candidates, Decision, Floats, Policy

TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Weights(Uniform):
    """Draws by feature 0 as a weight: a page of it is Plackett-Luce."""

    name = "weights"

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        weight = candidates.features[:, 0].astype(np.float64)
        return np.asarray(weight / weight.sum())


def of(n: int) -> Candidates:
    features = np.stack([np.arange(1, n + 1), np.arange(n) % 3, np.arange(n)[::-1]], axis=1)
    return Candidates("ann", tuple(f"i{row}" for row in range(n)), features.astype(np.float32))


def page(policy: Policy, n: int, k: int, seed: int, pins: dict[int, int] | None = None) -> Decision:
    request = Request(f"page-{seed}", TIME)
    return decide(policy, of(n), k=k, request=request, rng=np.random.default_rng(seed), pins=pins)


def placed_by(policy: Policy, n: int, k: int) -> Floats:
    """(k, n): by going through every page."""
    table = np.zeros((k, n))
    for rows in permutations(range(n), k):
        table[np.arange(k), list(rows)] += laws.slot_chances(policy, of(n), rows).prod()
    return table


@pytest.mark.parametrize(
    "policy",
    [Ranked(0, floor=0.3), Ranked(0, floor=1e-4), Uniform()],
    ids=["ranked, floor 0.3", "ranked, floor 0.0001", "uniform"],
)
def test_a_ranking_with_a_floor_is_known_and_its_places_are_exact(policy: Policy) -> None:
    table = placed_by(policy, 5, 3)
    for seed in range(20):
        decision = page(policy, 5, 3, seed)
        floor = ranked_floor(decision)
        assert floor == pytest.approx(1.0 if isinstance(policy, Uniform) else policy.floor)  # type: ignore[attr-defined]
        assert chance_of_place(decision) == pytest.approx(table[np.arange(3), decision.chosen], rel=1e-6)


def test_a_page_that_only_looks_ranked_in_its_first_slot_is_not_taken_for_one() -> None:
    decision = page(Ranked(0, floor=0.5), 5, 3, 0)
    other = replace(decision, propensities=decision.propensities * [1, 1, 0.9])
    assert ranked_floor(decision) is not None
    assert ranked_floor(other) is None
    assert ranked_floor(page(Weights(), 5, 3, 0)) is None


def test_places_of_any_other_page_weigh_as_they_should_on_average() -> None:
    """The mean of 1 / chance over the pages that have an item in a slot is 1: exact in two slots, near in others."""
    policy, n, k = Weights(), 5, 4
    mean = np.zeros((k, n))
    for rows in permutations(range(n), k):
        chances = laws.slot_chances(policy, of(n), rows)
        drawn = replace(page(policy, n, k, 0), chosen=np.array(rows), propensities=chances)
        mean[np.arange(k), list(rows)] += chances.prod() / chance_of_place(drawn)
    assert mean[:2] == pytest.approx(np.ones((2, n)))
    assert mean[2:] == pytest.approx(np.ones((2, n)), abs=0.3)


def test_a_target_is_gone_through_where_pages_are_few_and_drawn_where_they_are_many() -> None:
    policy, few = Weights(), page(Uniform(), 5, 3, 0)
    assert ask(few, policy).placed == pytest.approx(placed_by(policy, 5, 3))
    many = [ask(page(Uniform(), 6, 4, seed), policy).placed for seed in range(400)]
    spread = np.std(many, axis=0) / 20
    assert (np.abs(np.mean(many, axis=0) - placed_by(policy, 6, 4)) <= 4 * spread + 1e-9).all()


def test_what_is_asked_of_a_page_sums_to_one_in_every_slot() -> None:
    answer = ask(page(Weights(), 6, 4, 1), Ranked(1, floor=0.2))
    assert answer.given.sum(axis=1) == pytest.approx(np.ones(4))
    assert answer.placed.sum(axis=1) == pytest.approx(np.ones(4))
    assert answer.given[0] == pytest.approx(answer.placed[0])


def test_what_is_pinned_is_nobodys_choice() -> None:
    pins = {1: 4}
    decision = page(Ranked(0, floor=0.3), 6, 3, 2, pins)
    answer = ask(decision, Ranked(2, floor=0.3))
    assert answer.given[1].tolist() == answer.placed[1].tolist() == [0, 0, 0, 0, 1, 0]
    assert answer.ratio[1] == answer.weight[1] == 1
    assert (answer.placed[[0, 2], 4] == 0).all()
    free = [row for row in range(6) if row != 4]
    smaller = of(6).take(free)
    alone = decide(
        Ranked(0, floor=0.3), smaller, k=2, request=Request("x", TIME), rng=np.random.default_rng(0)
    )
    shown = [free.index(row) for row in decision.chosen[[0, 2]]]
    same = replace(alone, chosen=np.array(shown), propensities=decision.propensities[[0, 2]])
    assert chance_of_place(decision)[[0, 2]] == pytest.approx(chance_of_place(same))
    assert importance_weights(decision, Ranked(0, floor=0.3)) == pytest.approx(np.ones(3))


def test_a_page_that_is_pinned_all_over_says_nothing_and_weighs_one() -> None:
    decision = page(Ranked(0, floor=0.3), 4, 2, 0, {0: 3, 1: 1})
    answer = ask(decision, Ranked(2, floor=0.3))
    assert answer.ratio.tolist() == answer.weight.tolist() == [1, 1]
    assert answer.largest == 1


def test_the_pseudo_inverse_refuses_pages_whose_pairs_are_not_known() -> None:
    for decision in (page(Weights(), 5, 3, 0), page(Ranked(0, floor=0.5), 6, 3, 0, {1: 4})):
        with pytest.raises(NoSupport, match="pairs of items"):
            PI().ask(decision, Uniform())
    with pytest.raises(NoSupport, match="too many"):
        PI().ask(page(Ranked(0, floor=0.5), 30, 3, 0), Uniform())


def test_the_pseudo_inverse_of_even_pages_is_that_of_going_through_them() -> None:
    """A uniform logger in closed form equals one whose floor is so high that it is gone through."""
    even, nearly = (page(policy, 5, 2, 3) for policy in (Uniform(), Ranked(0, floor=1 - 1e-7)))
    assert ranked_floor(nearly) != 1
    nearly = replace(nearly, chosen=even.chosen, propensities=np.array([0.2, 0.25]))
    target = Ranked(2, floor=0.4)
    scores = replace(even.plan, scores=nearly.plan.scores)
    found = [PI().ask(one, target).weight for one in (replace(even, plan=scores), nearly)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_one_slot_is_one_slot_for_all() -> None:
    log = laws.simulate(laws.logger(), 1, seed=5)
    found = [make().estimate(log.decisions, log.rewards, laws.target()) for make in (IPS, IIPS, PI)]
    assert found[0] == found[1] == found[2]


def test_the_bootstrap_says_much_the_same_as_the_delta_method() -> None:
    log = laws.simulate(laws.logger(), 2, seed=5, users=60)
    for make in (IPS, SNIPS):
        plain, drawn = (
            make(interval=kind).estimate(log.decisions, log.rewards, laws.target())
            for kind in ("t", "bootstrap")
        )
        assert drawn.value == plain.value
        assert drawn.high - drawn.low == pytest.approx(plain.high - plain.low, rel=0.2)


def test_a_bootstrap_of_rewards_that_hardly_anybody_had_is_no_answer_and_of_constant_ones_no_doubt() -> None:
    log = laws.simulate(laws.logger(), 1, seed=5, users=40)
    bootstrap = IPS(interval="bootstrap", resamples=60)
    rare = [np.full(1, float(one.user_id in ("user-1", "user-2"))) for one in log.decisions]
    with pytest.raises(NoSupport, match="too few users have a reward"):
        bootstrap.estimate(log.decisions, rare, None)
    found = bootstrap.estimate(log.decisions, [np.full(1, 0.25)] * len(rare), None)
    assert (found.low, found.value, found.high) == (0.25, 0.25, 0.25)


def test_bernstein_asks_for_no_large_numbers_and_is_wide() -> None:
    log = laws.simulate(laws.logger(), 1, seed=5, users=60)
    rewards = [earned / 2 for earned in log.rewards]  # in 0..1
    plain, bound = (
        IPS(interval=kind).estimate(log.decisions, rewards, laws.target()) for kind in ("t", "bernstein")
    )
    assert bound.value == plain.value
    assert bound.low <= plain.low < plain.high <= bound.high
