"""What the controller expects of each level: what a page costs, and what it teaches for pages to come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from honeyguide.explore.about import About
from honeyguide.explore.base_rate import BaseRate
from honeyguide.explore.item_effects import ItemPrior
from honeyguide.explore.kinds import Belief
from honeyguide.explore.posterior import Prior
from honeyguide.explore.shared import SharedPosterior
from honeyguide.explore.tradeoff import LEVELS, Outlook, Tradeoff, _removed, _shown, choose_level
from honeyguide.types import Candidates, Floats

N, DIM = 40, 5


def controller(epsilon: float = 1.0) -> Tradeoff:
    prior = Prior(np.zeros(DIM), np.eye(DIM), 1.0)
    posterior = SharedPosterior(prior, BaseRate(np.zeros(DIM), -2.0), np.eye(DIM), ItemPrior(0.5))
    return Tradeoff(posterior, epsilon=epsilon, page_size=5, floor=0.02, draws=256)


def about(*, weights: float, own: float, reach: float = 0.0) -> About:
    """Forty items whose rewards are as uncertain as said, by the user's weights and by themselves."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N, DIM))
    root = np.sqrt(weights) * np.eye(DIM)
    belief = Belief(np.zeros(DIM), root, np.ones(1), np.zeros((1, DIM)), root[None])
    mean = rng.normal(0.1, 0.02, size=N)
    return About(mean, belief, features, np.full(N, 0.05), np.full(N, own), np.full(N, reach))


def outlook(found: About, epsilon: float = 1.0) -> Outlook:
    return controller(epsilon)._outlook(found, found.mean)


def test_where_everything_is_known_no_level_teaches_and_none_costs() -> None:
    found = outlook(about(weights=1e-16, own=1e-16))
    assert found.taught == pytest.approx(np.zeros(len(LEVELS)), abs=1e-6)
    assert found.cost() == pytest.approx(np.zeros(len(LEVELS)), abs=1e-6)


def test_exploit_only_costs_nothing_and_higher_levels_more() -> None:
    cost = outlook(about(weights=2e-3, own=1e-3)).cost()
    assert cost[0] == 0
    assert (np.diff(cost) > 0).all()


def test_what_more_items_tell_teaches_more() -> None:
    taught = outlook(about(weights=1e-9, own=4e-3)).taught
    assert taught[-1] > taught[0] > 0


def test_knowing_everything_is_the_most_that_can_be_taught() -> None:
    asked = about(weights=2e-3, own=1e-3)
    rng = np.random.default_rng(1)
    best = np.sort(asked.draws(4000, rng), axis=1)[:, -5:].sum(axis=1).mean()
    now = np.sort(asked.mean)[-5:].sum()
    assert (outlook(asked).taught < best - now).all()


def test_what_a_level_teaches_is_asked_where_the_shop_would_pay_for_it() -> None:
    asked = about(weights=2e-3, own=1e-3)
    everything = outlook(asked)
    epsilon = float(everything.cost()[2])
    found = outlook(asked, epsilon)
    assert np.array_equal(found.value, everything.value)
    assert np.array_equal(found.taught[:3], everything.taught[:3])
    assert np.isnan(found.taught[3:]).all()
    assert choose_level(found, asked.mean, 50.0, 1.0, epsilon) == choose_level(
        everything, asked.mean, 50.0, 1.0, epsilon
    )


def test_what_is_an_items_own_is_worth_more_where_others_are_shown_it() -> None:
    alone, together = (outlook(about(weights=1e-9, own=4e-3, reach=users)).taught for users in (0.0, 50.0))
    assert (together - together[0])[1:] == pytest.approx(51 * (alone - alone[0])[1:], rel=0.05)


def test_what_is_learned_of_the_user_alone_is_worth_nothing_to_others() -> None:
    alone, together = (outlook(about(weights=4e-3, own=1e-12, reach=users)).taught for users in (0.0, 50.0))
    assert together == pytest.approx(alone, rel=1e-3)


def test_an_item_that_few_have_seen_is_taken_to_reach_as_many_as_the_others() -> None:
    reach = np.full(N, 50.0)
    reach[:8] = 0.0
    known = about(weights=1e-6, own=4e-3, reach=50.0)
    taught = outlook(replace(known, reach=reach)).taught
    assert taught[0] > 0
    assert (np.abs(outlook(known).taught - taught) < 0.25 * taught).all()


def test_what_a_page_removes_is_the_same_by_the_smaller_and_by_the_larger_matrix() -> None:
    rng = np.random.default_rng(3)
    for seen in (2, 5, 9):
        observed, target = rng.normal(size=(seen, DIM)), rng.normal(size=(12, DIM))
        left = np.linalg.solve(np.eye(DIM) + observed.T @ observed, target.T)
        expected = (target**2).sum() - (target.T * left).sum()
        assert _removed(observed, target) == pytest.approx(expected)


def test_items_that_tie_share_the_place() -> None:
    often = _shown(np.array([[3.0, 1.0, 1.0, 1.0], [2.0, 5.0, 0.0, 0.0]]), 2)
    assert often == pytest.approx([(2 / 4 + 1) / 2, (2 / 4 + 1) / 2, 2 / 4 / 2, 2 / 4 / 2])
    assert often.sum() == pytest.approx(2)


def test_equal_requests_have_equal_plans() -> None:
    policy = controller()
    features: Floats = np.random.default_rng(2).normal(size=(N, DIM))
    asked = Candidates("ann", tuple(f"i{row}" for row in range(N)), features.astype(np.float32), 20.0)
    one, other = policy.plan(asked), policy.plan(asked)
    assert (one.level, one.reason) == (other.level, other.reason)
    assert np.array_equal(one.scores, other.scores)
