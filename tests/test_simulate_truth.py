"""A truth learned from a log: who takes the same things is told from what nobody's tastes cover."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.factors import MOST_TASTES, Taken, item_factors, learn_truth
from honeyguide.evaluate.simulate.shops import simulated_shop, without
from honeyguide.types import Rows

USERS, ITEMS = 300, 80


def log(seed: int = 0) -> tuple[Rows, Rows]:
    """Each user takes 12 items out of 2 of 4 departments (20 items each), the first items more often."""
    rng = np.random.default_rng(seed)
    users, items = [], []
    for user in range(USERS):
        own = rng.choice(4, size=2, replace=False)
        users.append(np.full(12, user))
        items.append(own[rng.integers(2, size=12)] * 20 + (20 * rng.random(12) ** 1.5).astype(int))
    return np.concatenate(users).astype(np.int64), np.concatenate(items).astype(np.int64)


TAKEN = Taken.of(*log())


def test_pairs_are_counted() -> None:
    taken = Taken.of(np.array([1, 0, 1, 1]), np.array([2, 0, 2, 0]))
    assert taken.users.tolist() == [0, 1, 1]
    assert taken.items.tolist() == [0, 0, 2]
    assert taken.times.tolist() == [1, 1, 2]
    assert taken.repeated == 0.25


def test_items_that_the_same_users_take_are_near_each_other() -> None:
    vectors = item_factors(TAKEN, USERS, ITEMS, 6, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
    close, same = vectors @ vectors.T, np.repeat(np.arange(4), 20)
    within = same[:, None] == same
    assert close[within].mean() > close[~within].mean() + 0.4


def test_what_nobody_took_has_no_factors() -> None:
    vectors = item_factors(TAKEN, USERS, ITEMS + 1, 6, np.random.default_rng(0))
    assert not vectors[ITEMS].any()


def test_users_have_the_tastes_of_what_they_took() -> None:
    truth = learn_truth(TAKEN, USERS, ITEMS, seed=0, factors=6, interests=4)
    assert truth.users == USERS
    assert np.diff(truth.starts).max() <= MOST_TASTES
    sums = np.add.reduceat(truth.weights, truth.starts[:-1])
    np.testing.assert_allclose(sums, 1.0)
    assert truth.per_match > 1.0
    assert truth.per_quality > 0.1  # the first items of a department are taken more
    own = 0
    for user in range(USERS):
        mine = truth.of_user(user)
        match = truth.match(truth.tastes[mine], truth.weights[mine], np.arange(ITEMS))
        took = np.unique(TAKEN.items[TAKEN.users == user] // 20)
        inside = np.isin(np.arange(ITEMS) // 20, took)
        own += match[inside].mean() > match[~inside].mean() if not inside.all() else True
    assert own > 0.95 * USERS


def test_equal_seeds_give_equal_truths() -> None:
    one, two = (learn_truth(TAKEN, USERS, ITEMS, seed=1, factors=6, interests=4) for _ in range(2))
    np.testing.assert_array_equal(one.items, two.items)
    np.testing.assert_array_equal(one.tastes, two.tastes)
    assert one.per_match == two.per_match


def test_a_log_without_users_who_took_enough_has_no_truth() -> None:
    with pytest.raises(InvalidInput, match="no tastes"):
        learn_truth(Taken.of(np.arange(50), np.arange(50)), 50, 50, seed=0, factors=6)
    with pytest.raises(InvalidInput, match="too few"):
        learn_truth(TAKEN, USERS, ITEMS, seed=0, factors=80)


def test_who_is_in_no_event_is_left_out_of_a_shop() -> None:
    users, items = log()
    ids = [f"i{row:03d}" for row in range(ITEMS)]
    texts = np.random.default_rng(0).standard_normal((ITEMS, 12)).astype(np.float32)
    shop, spread = (
        simulated_shop("log", ids, texts, numbers, items, dims=6, leaves=4, factors=6)
        for numbers in (users, 3 * users + 2)
    )
    assert spread.truth.users == shop.truth.users == USERS
    np.testing.assert_array_equal(spread.truth.tastes, shop.truth.tastes)


def test_the_shop_counts_the_past_users_alone() -> None:
    users, items = log()
    ids = [f"i{row:03d}" for row in range(ITEMS)]
    texts = np.random.default_rng(0).standard_normal((ITEMS, 12)).astype(np.float32)
    shop = simulated_shop("log", ids, texts, users, items, dims=6, leaves=4, factors=6)
    there = np.isin(users, shop.past)
    np.testing.assert_array_equal(shop.facts.taken, np.bincount(items[there], minlength=ITEMS))
    assert len(shop.past) + len(shop.present) == USERS
    assert shop.again  # a department has 20 items, of which a user takes some twice
    assert shop.facts.vectors.shape == (ITEMS, 6)
    with pytest.raises(InvalidInput, match="ascend"):
        simulated_shop("log", ids[::-1], texts, users, items, dims=6, leaves=4, factors=6)
    new = np.arange(ITEMS) < 10
    facts = without(shop.facts, new)
    assert not facts.popularity[new].any()
    assert not facts.taken[new].any()
    np.testing.assert_array_equal(facts.popularity[~new], shop.facts.popularity[~new])
    np.testing.assert_array_equal(facts.vectors, shop.facts.vectors)
