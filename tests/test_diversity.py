"""Laws of diverse lists: worked out by hand, compared with the whole determinant, and within their limits."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.errors import InvalidInput
from honeyguide.retrieve.diversity import METHODS, Dpp, Limits, Mmr, alike, choose, make_diverse
from honeyguide.types import Floats, Vectors

RIGHT, UP, LEFT = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def points(*rows: list[float]) -> Vectors:
    return np.array(rows, dtype=np.float32)


def page(method: str, relevance: list[float], vectors: Vectors, diversity: float, k: int) -> list[int]:
    diverse = make_diverse(method, np.array(relevance), vectors, diversity)
    return [int(row) for row in choose(diverse, Limits(len(vectors)), k)]


@pytest.mark.parametrize("method", METHODS)
def test_without_diversity_the_best_come_first(method: str) -> None:
    assert page(method, [0.1, 0.9, 0.5, 0.9], points(UP, UP, UP, UP), 0.0, 4) == [1, 3, 2, 0]


@pytest.mark.parametrize("method", METHODS)
def test_what_repeats_the_list_gives_way_to_what_is_new(method: str) -> None:
    # the second copy of RIGHT is more relevant than UP, and adds nothing
    assert page(method, [1.0, 0.9, 0.0], points(RIGHT, RIGHT, UP), 0.7, 2) == [0, 2]
    assert page(method, [1.0, 0.9, 0.0], points(RIGHT, RIGHT, UP), 0.01, 2) == [0, 1]


def test_mmr_is_relevance_less_the_nearest_likeness() -> None:
    diverse = Mmr(np.array([1.0, 0.5, 0.0]), points(RIGHT, UP, LEFT), 0.4)
    assert diverse.gains() == pytest.approx([0.6, 0.3, 0.0])
    diverse.take(0)  # likeness to RIGHT: itself 1, UP 1/2, LEFT 0
    assert diverse.gains() == pytest.approx([0.6 - 0.4, 0.3 - 0.2, 0.0])


def test_the_share_that_is_new_is_what_the_determinant_grows_by() -> None:
    vectors = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = (1 + unit @ unit.T) / 2
    diverse = Dpp(np.zeros(8), vectors, 1.0)
    taken = [3, 5]
    for row in taken:
        diverse.take(row)
    whole = np.linalg.det(kernel[np.ix_(taken, taken)])
    for row in (0, 1, 2, 4, 6, 7):
        more = [*taken, row]
        grown = np.linalg.det(kernel[np.ix_(more, more)]) / whole
        assert np.exp(diverse.gains()[row]) == pytest.approx(grown, rel=1e-4, abs=2e-6)


def test_two_of_a_determinantal_list_are_the_two_least_alike() -> None:
    vectors = points(RIGHT, [0.8, 0.6], UP, LEFT)
    best = max(combinations(range(4), 2), key=lambda pair: 1 - alike(vectors[list(pair)]))
    assert sorted(page("dpp", [1.0, 1.0, 1.0, 1.0], vectors, 1.0, 2)) == sorted(best) == [0, 3]


def test_a_list_is_alike_by_the_mean_of_its_pairs() -> None:
    assert alike(points(RIGHT, RIGHT)) == pytest.approx(1.0)
    assert alike(points(RIGHT, UP, LEFT)) == pytest.approx((0.5 + 0.0 + 0.5) / 3)
    assert alike(points(RIGHT)) == 0.0


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), k=st.integers(1, 15), diversity=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_list_is_distinct_and_full(method: str, seed: int, n: int, k: int, diversity: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, size=(n, 2)).astype(
        np.float32
    )  # with copies, and with items without a vector
    found = page(method, rng.integers(0, 3, n).astype(float).tolist(), vectors, diversity, k)
    assert len(set(found)) == len(found) == min(n, k)


def test_more_diversity_makes_lists_less_alike_on_the_whole() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    relevance: Floats = vectors[:, 0].astype(np.float64)  # what is relevant is alike
    for method in METHODS:
        found = [
            alike(vectors[choose(make_diverse(method, relevance, vectors, d), Limits(60), 8)])
            for d in (0.0, 0.5, 1.0)
        ]
        assert found[0] > found[1] > found[2]


def test_a_full_group_is_passed_over_and_a_page_may_end_early() -> None:
    brand = np.array([0, 0, 0, 1, -1])
    still = make_diverse("mmr", np.array([5.0, 4, 3, 2, 1]), points(UP, UP, UP, UP, UP), 0.0)
    assert choose(still, Limits(5, (brand,), (1,)), 5).tolist() == [0, 3, 4]
    still = make_diverse("mmr", np.array([5.0, 4, 3, 2, 1]), points(UP, UP, UP, UP, UP), 0.0)
    assert choose(still, Limits(5, (brand,), (2,)), 3).tolist() == [0, 1, 3]


def test_pins_stand_where_they_are_put_and_count_towards_the_limits() -> None:
    brand = np.array([0, 0, 1, 1])
    diverse = make_diverse("mmr", np.array([4.0, 3, 2, 1]), points(UP, UP, UP, UP), 0.0)
    assert choose(diverse, Limits(4, (brand,), (1,)), 3, {1: 1}).tolist() == [2, 1]


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_outside_of_0_to_1_is_refused(diversity: float) -> None:
    with pytest.raises(InvalidInput, match="diversity"):
        Mmr(np.ones(1), points(UP), diversity)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one per vector"):
        Dpp(np.ones(2), points(UP), 0.5)
    with pytest.raises(InvalidInput, match="finite"):
        Dpp(np.array([np.nan]), points(UP), 0.5)
    with pytest.raises(InvalidInput, match="dpp, mmr"):
        make_diverse("best", np.ones(1), points(UP), 0.5)
    with pytest.raises(InvalidInput, match="each of the 3"):
        Limits(3, (np.zeros(2, dtype=np.int64),), (1,))
