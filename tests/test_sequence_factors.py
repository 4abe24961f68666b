"""Factors of who ever took what tell what is new to a user, and leave the rest as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.factors import Factors
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import Likeness
from honeyguide.interests.sequence.memory import Memory
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.ranking import ranks_in, taken_ranks_in
from honeyguide.types import Vectors
from tests.test_sequence_likeness import TAKEN, VECTORS
from tests.test_sequence_memory import LOG, untaught

N = 6
ALONE = np.arange(N)[
    :, None
]  # everything is most alike to itself, which a user cannot take anew: nothing pulls
# two kinds of users: of 0, 1, 2 and of 3, 4, 5
USERS = ([0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5], [0, 0, 1, 2], [3, 4, 5])


def sequences(*users: list[int]) -> Sequences:
    items = np.array([item for user in users for item in user], dtype=np.int64)
    return Sequences.of_items(items, np.cumsum([0, *(len(user) for user in users)]))


def even(users: int) -> Vectors:
    return np.full((users, N), 1 / N, dtype=np.float32)


def test_factors_are_ridge_regression_of_what_users_took() -> None:
    users = (*USERS, [0, 3], [1, 2, 4], [0, 1, 2, 5])  # the four largest singular values differ
    taken = np.zeros((len(users), N))
    for user, took in enumerate(users):
        taken[user, took] = 1
    factors = replace(Factors.of(sequences(*users), ALONE, rank=4), share=1.0, pull=0.0)
    _, strength, items = np.linalg.svd(taken, full_matrices=False)
    strength, items = strength[:4], items[:4]
    trust = strength**2 / (strength**2 + np.median(strength) ** 2)
    told = np.maximum(np.eye(N)[[1]] @ items.T @ np.diag(trust) @ items, 0)[0]
    told[1] = 0
    expected = told / told.sum() * 5 / 6
    expected[1] = 1 / 6
    assert factors.mix(sequences([1]), even(1))[0] == pytest.approx(expected, abs=1e-5)


def test_factors_are_the_same_to_the_bit_even_where_as_many_are_asked_for_as_there_are() -> None:
    few = sequences([0, 1], [0, 1], [3, 4], [2, 5])  # two users alike: one strength is 0
    ones = [Factors.of(few, ALONE) for _ in range(3)]
    assert all(np.array_equal(one.items, ones[0].items) for one in ones)
    assert ones[0].items.shape == (N, 3)


def test_many_users_and_items_have_the_same_factors_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users = sequences(*(rng.permutation(40)[: rng.integers(2, 12)].tolist() for _ in range(60)))
    near = np.arange(40)[:, None]
    whole = Factors.of(users, near, rank=5)
    monkeypatch.setattr("honeyguide.interests.sequence.factors._WHOLE", 10)
    some = Factors.of(users, near, rank=5)
    assert some.trust == pytest.approx(whole.trust, rel=1e-4)
    assert np.abs(some.items @ some.items.T - whole.items @ whole.items.T).max() < 1e-3


def test_who_takes_of_a_kind_takes_more_of_it_however_long_ago_and_in_any_order() -> None:
    factors = Factors.of(sequences(*USERS), ALONE, rank=2)
    found = factors.mix(sequences([0, 1], [1, 0], [1, 1, 0, 1]), even(3))
    assert found[0, 2] > found[0, 3:].max()
    assert found[1] == pytest.approx(found[0])
    assert found[2] == pytest.approx(found[0])


def test_what_a_user_had_and_the_sum_of_chances_stay_as_they_were() -> None:
    factors = Factors.of(sequences(*USERS), ALONE, rank=2)
    chances = np.array([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0.2, 0.3, 0.1, 0.1, 0.1, 0.2]], dtype=np.float32)
    found = factors.mix(sequences([0, 3], [1]), chances)
    assert found[0, [0, 3]] == pytest.approx(chances[0, [0, 3]])
    assert found[1, 1] == pytest.approx(chances[1, 1])
    assert found.sum(axis=1) == pytest.approx(np.ones(2))
    assert (found >= 0).all()


def test_of_strangers_and_searches_factors_say_nothing() -> None:
    factors = Factors.of(sequences(*USERS), ALONE, rank=2)
    assert factors.mix(sequences([], [N + 1]), even(2)) == pytest.approx(even(2))


def test_no_share_changes_nothing_and_a_whole_one_leaves_nothing_of_the_network() -> None:
    factors = Factors.of(sequences(*USERS), ALONE, rank=2)
    chances = np.array([[0.5, 0.1, 0.0, 0.2, 0.1, 0.1]], dtype=np.float32)
    asked = sequences([0, 1])
    assert replace(factors, share=0.0).mix(asked, chances) == pytest.approx(chances)
    other = np.array([[0.5, 0.1, 0.2, 0.0, 0.1, 0.1]], dtype=np.float32)
    whole = replace(factors, share=1.0)
    assert whole.mix(asked, chances) == pytest.approx(whole.mix(asked, other), abs=1e-6)


def test_an_item_of_a_kind_that_is_taken_much_is_pulled_up() -> None:
    near = np.array([[1], [0], [0], [4], [3], [3]])
    factors = replace(Factors.of(sequences(*USERS), near, rank=2), share=1.0)
    often = factors.mix(sequences([0, 0, 0, 3]), even(1))[0]
    plain = replace(factors, pull=0.0).mix(sequences([0, 0, 0, 3]), even(1))[0]
    # 1 and 2 are like 0, taken three times; 4 and 5 are like 3, taken once
    assert often[1] / often[4] == pytest.approx(plain[1] / plain[4] * (4 / 2) ** 0.2, rel=1e-4)


@pytest.mark.parametrize("likeness", [False, True])
def test_a_single_user_and_some_items_have_the_same_chances(likeness: bool) -> None:
    alike = Likeness.of(VECTORS, TAKEN)
    factors = replace(Factors.of(sequences(*USERS), alike.near, rank=3), share=0.6)
    model = SequenceModel(untaught(), Memory.of(LOG, N), alike if likeness else None, factors=factors)
    rows = np.array([4, 0, 1, 5])
    for asked in (sequences([0, 3, 1]), sequences([]), sequences([5, 5])):
        assert model.chances(asked, rows) == pytest.approx(model.score(asked)[0, rows], abs=1e-6)


def test_items_outside_of_the_pool_count_for_nothing_in_the_whole() -> None:
    factors = replace(Factors.of(sequences(*USERS), ALONE, rank=2), share=0.6)
    pool = np.arange(5)
    model = SequenceModel(untaught(), None, factors=factors, pool=pool)
    assert model.chances(sequences([0, 3]), pool).sum() == pytest.approx(1.0, abs=1e-6)


def test_the_state_is_the_model() -> None:
    model = SequenceModel(untaught(), factors=Factors.of(sequences(*USERS), ALONE, rank=2))
    again = SequenceModel.from_state(*model.state())
    asked = sequences([0, 1], [5])
    assert (again.score(asked) == model.score(asked)).all()


def test_factors_are_mixed_in_where_what_counts_is_too_long_ago_for_pairs() -> None:
    long_ago = [5] * 14
    users = [[0, *long_ago, 1], [1, *long_ago, 0], [2, *long_ago, 3], [3, *long_ago, 2]] * 30
    known = sequences(*users)
    asked = known.without_last(1)
    taken = Sequences.one_each(known.from_last(0))
    model = mixed(untaught(), known, asked, taken, vectors=np.eye(N, dtype=np.float32), k=1)
    assert model.factors is not None
    assert model.score(sequences([0, *long_ago]))[0, :4].argmax() in (0, 1)
    alone = mixed(untaught(), sequences([0, 1]), asked, taken, vectors=np.eye(N, dtype=np.float32))
    assert alone.factors is None


def test_ranks_of_baskets_of_one_item_are_those_of_single_items() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (5, N)).astype(np.float32)  # with ties
    asked, targets = sequences([0, 1], [2], [], [5, 3], [4]), np.array([1, 3, 0, 5, 2])
    one = ranks_in(scores.copy(), asked, targets)
    assert taken_ranks_in(scores.copy(), asked, np.arange(5), targets).tolist() == one.tolist()


def test_a_basket_counts_as_one_however_much_is_in_it() -> None:
    # who took 1 after 0 is found by pairs, three small baskets of four; the network alone finds the large one
    known = sequences(*[[0, 1]] * 5)
    asked = sequences([0], [0], [0], [2])
    small, large = [1], [5, 4, 3]
    assert mixed(untaught(), known, asked, sequences(small, small, small, large), k=3).memory is not None
    assert mixed(untaught(), known, asked, sequences(large, large, large, large), k=3).memory is None


def test_settings_are_checked() -> None:
    factors = Factors.of(sequences(*USERS), ALONE, rank=2)
    for share, pull in ((1.5, 0.2), (-0.1, 0.2), (0.5, -1.0)):
        with pytest.raises(InvalidInput, match=r"share must lie in 0\.\.1"):
            replace(factors, share=share, pull=pull)
    with pytest.raises(InvalidInput, match="at least two users"):
        Factors.of(sequences([0, 1]), ALONE)
