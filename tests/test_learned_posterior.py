"""The posterior that a shop begins with, from past pages whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from honeyguide.errors import InvalidInput
from honeyguide.explore.base_rate import RIDGES, learn_base_rate, logistic, some_users
from honeyguide.explore.item_effects import learn_item_prior
from honeyguide.explore.learned import PageRows, learn_posterior
from honeyguide.types import Floats

DIM = 4
WEIGHTS = np.array([1.0, -0.5, 0.0, 0.8])


def pages(
    *, users: int = 120, rows: int = 60, items: int = 50, effect: float = 0.0, own: float = 0.0, seed: int = 0
) -> PageRows:
    """Rows whose chance is logistic in the features, times what is the user's and the item's own."""
    rng = np.random.default_rng(seed)
    n = users * rows
    features = rng.normal(size=(n, DIM)).astype(np.float32)
    chance = expit(features @ WEIGHTS - 2.5)
    user, item = np.repeat(np.arange(users), rows), rng.integers(items, size=n)
    chance = chance * (1 + features @ np.array([1.0, 0, 0, 0]) * (effect * rng.normal(size=users))[user])
    chance = np.clip(chance * np.exp(own * rng.normal(size=items) - own**2 / 2)[item], 0, 1)
    rewards = (rng.random(n) < chance).astype(np.float64)
    return PageRows(features, rewards, np.arange(0, n + 1, rows), item)


def looked(past: PageRows) -> Floats:
    return np.ones(len(past.rewards))


def test_a_base_rate_finds_the_weights_that_rewards_follow() -> None:
    past = pages()
    base, ridge = learn_base_rate(past.features, past.rewards, past.starts, looked(past), seed=0)
    assert ridge in RIDGES
    assert base.weights == pytest.approx(WEIGHTS, abs=0.15)
    assert base.intercept == pytest.approx(-2.5, abs=0.15)


def test_the_sum_of_what_it_expects_is_what_was_earned() -> None:
    past = pages(users=20)
    base = logistic(past.features, past.rewards, 1.0, looked(past))
    assert base.expected(past.features).sum() == pytest.approx(past.rewards.sum(), rel=1e-3)


def test_few_rows_are_held_further_back_than_many() -> None:
    ridges = []
    for users in (3, 120):
        past = pages(users=users, rows=12)
        ridges.append(learn_base_rate(past.features, past.rewards, past.starts, looked(past), seed=0)[1])
    assert ridges[0] >= ridges[1]


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_where_rewards_never_differ_everything_is_as_good(reward: float) -> None:
    features = np.random.default_rng(0).normal(size=(30, DIM)).astype(np.float32)
    base, _ = learn_base_rate(features, np.full(30, reward), np.array([0, 10, 30]), np.ones(30), seed=0)
    assert not base.weights.any()
    assert np.ptp(base.expected(features)) == 0
    assert base.expected(features)[0] == pytest.approx((30 * reward + 0.5) / 31, abs=0.04)


def test_a_feature_that_never_differs_has_no_weight() -> None:
    past = pages(users=10)
    features = past.features.copy()
    features[:, 2] = 1.0
    assert logistic(features, past.rewards, 1.0, looked(past)).weights[2] == 0


def test_whole_users_are_drawn() -> None:
    starts = np.array([0, 5, 6, 20, 30])
    some = some_users(starts, 16, np.random.default_rng(3))
    owner = np.searchsorted(starts, some.rows, side="right") - 1
    for user in np.unique(owner):
        assert (owner == user).sum() == starts[user + 1] - starts[user]
    assert len(some.rows) <= 16
    assert len(np.unique(some.user)) == len(np.unique(owner))
    assert len(some_users(starts, 1, np.random.default_rng(3)).rows) > 0


def test_items_that_differ_by_what_features_do_not_tell_are_told_from_those_that_do_not() -> None:
    alike, unlike = (
        learn_item_prior(
            past.features,
            past.rewards,
            past.starts,
            past.items,
            None,
            looked(past),
            ridge=1.0,
            seed=0,
        ).variance
        for past in (pages(), pages(own=0.8))
    )
    assert alike == 0.01
    # a lognormal factor of deviation 0.8 has a variance of e^0.64 - 1 = 0.9; the least likely value is taken
    assert 0.3 <= unlike <= 1.2


def test_fresh_items_are_told_apart_where_they_were_shown() -> None:
    past = pages(items=40)
    fresh = past.items < 20
    rewards = past.rewards.copy()
    rng = np.random.default_rng(1)
    more = fresh & (rng.random(len(rewards)) < 0.1)
    rewards[more] = 1.0
    none = np.zeros_like(fresh)
    told, untold = (
        learn_item_prior(
            past.features, rewards, past.starts, past.items, marks, looked(past), ridge=1.0, seed=0
        )
        for marks in (fresh, none)
    )
    assert told.fresh_mean > 0.2
    assert (untold.fresh_mean, untold.fresh_variance) == (0.0, 1.0)


def test_users_who_do_not_differ_are_believed_to_be_alike() -> None:
    widths = []
    for effect in (0.0, 0.8):
        learned, chosen = learn_posterior(pages(effect=effect), None, seed=0)
        assert not chosen.kinds.mean.any()
        widths.append(np.sqrt(learned.prior.covariance[0, 0]))
    assert widths[0] < 0.1
    assert 0.3 < widths[1] < 1.2


def test_what_the_log_says_of_everybody_is_known_unless_it_is_folded_in() -> None:
    past = pages(users=50)
    apart, _ = learn_posterior(past, None, seed=0)
    folded, _ = learn_posterior(past, None, seed=0, folded=True)
    rate = apart.base.expected(past.features)
    told = (past.features.T.astype(np.float64) * (rate * (1 - rate))) @ past.features
    told /= apart.prior.noise_variance
    assert apart.known - folded.known == pytest.approx(told, rel=1e-3, abs=1e-2)


def test_it_needs_rows() -> None:
    nothing = PageRows(
        np.zeros((0, DIM), dtype=np.float32), np.zeros(0), np.array([0]), np.zeros(0, np.int64)
    )
    with pytest.raises(InvalidInput, match="at least one"):
        learn_posterior(nothing, None, seed=0)
