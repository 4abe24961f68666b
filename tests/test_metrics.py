"""Ranking metrics against slow definitions, and their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.metrics import (
    coverage_at_k,
    exposure_at_k,
    exposure_entropy,
    ndcg_at_k,
    recall_at_k,
)
from honeyguide.types import Floats, Rows

N, K = 9, 4


def rankings(seed: int, queries: int = 6) -> tuple[Rows, Floats]:
    """Full rankings of N items, and what each item is worth to each query (some worth nothing)."""
    rng = np.random.default_rng(seed)
    ranked = np.argsort(rng.random((queries, N)), axis=1)
    worth = np.maximum(rng.normal(size=(queries, N)), 0)
    worth[:, 0] += 0.1
    return ranked, worth


def at_places(ranked: Rows, worth: Floats) -> Floats:
    return np.take_along_axis(worth, ranked, axis=1)


@given(seed=st.integers(0, 200), k=st.integers(1, N))
def test_recall_is_the_share_of_relevant_items_shown(seed: int, k: int) -> None:
    ranked, worth = rankings(seed)
    relevant = [set(np.flatnonzero(row).tolist()) for row in worth]
    slow = [
        len(wanted & set(row[:k].tolist())) / len(wanted)
        for wanted, row in zip(relevant, ranked, strict=True)
    ]
    found = recall_at_k(at_places(ranked, worth) > 0, np.array([len(wanted) for wanted in relevant]), k)
    assert found.tolist() == pytest.approx(slow)
    assert found.dtype == np.float64


@given(seed=st.integers(0, 200), k=st.integers(1, N))
def test_ndcg_is_the_discounted_gain_over_the_best_order(seed: int, k: int) -> None:
    ranked, worth = rankings(seed)
    slow = []
    for row, gain in zip(ranked, worth, strict=True):
        earned = sum(gain[item] / math.log2(place + 2) for place, item in enumerate(row[:k]))
        best = sum(g / math.log2(place + 2) for place, g in enumerate(sorted(gain, reverse=True)[:k]))
        slow.append(earned / best)
    assert ndcg_at_k(at_places(ranked, worth), worth, k).tolist() == pytest.approx(slow)


def test_the_best_order_has_ndcg_1_and_every_other_less() -> None:
    _, worth = rankings(3)
    best = np.argsort(-worth, axis=1, kind="stable")
    assert ndcg_at_k(at_places(best, worth), worth, K) == pytest.approx(1)
    assert (ndcg_at_k(at_places(best[:, ::-1], worth), worth, K) < 1).all()


def test_recall_of_everything_is_1_and_never_falls_with_k() -> None:
    ranked, worth = rankings(4)
    hits, relevant = at_places(ranked, worth) > 0, (worth > 0).sum(axis=1)
    by_k = np.stack([recall_at_k(hits, relevant, k) for k in range(1, N + 1)])
    assert (np.diff(by_k, axis=0) >= 0).all()
    assert (by_k[-1] == 1).all()


def test_exposure_adds_up_to_the_places_and_coverage_counts_who_has_any() -> None:
    ranked, _ = rankings(5)
    exposure = exposure_at_k(ranked, N, K)
    assert exposure.sum() == ranked.shape[0] * K
    assert coverage_at_k(ranked, N, K) == len(set(ranked[:, :K].ravel().tolist())) / N


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any))
def test_entropy_lies_between_one_item_and_all_alike(counts: list[int]) -> None:
    exposure = np.array(counts)
    entropy = exposure_entropy(exposure)
    assert 0 <= entropy <= math.log(len(counts)) + 1e-12
    assert exposure_entropy(exposure[::-1]) == pytest.approx(entropy)
    assert exposure_entropy(exposure * 7.0) == pytest.approx(entropy)


@pytest.mark.parametrize("k", [0, N + 1])
def test_k_beyond_the_ranking_is_refused(k: int) -> None:
    ranked, worth = rankings(0)
    hits = at_places(ranked, worth) > 0
    for refused in (
        lambda: recall_at_k(hits, hits.sum(axis=1), k),
        lambda: ndcg_at_k(worth, worth, k),
        lambda: coverage_at_k(ranked, N, k),
    ):
        with pytest.raises(InvalidInput, match=f"1..{N}"):
            refused()


def test_a_query_with_nothing_relevant_is_refused_not_scored() -> None:
    nothing = np.zeros((1, 3))
    with pytest.raises(InvalidInput, match="nothing relevant"):
        recall_at_k(nothing > 0, np.array([0]), 2)
    for ideal in (nothing, np.zeros((1, 0))):
        with pytest.raises(InvalidInput, match="nothing relevant"):
            ndcg_at_k(nothing, ideal, 2)
    with pytest.raises(InvalidInput, match="at least one query"):
        recall_at_k(np.zeros((0, 3), dtype=bool), np.zeros(0, dtype=np.int64), 2)


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="hits"):
        recall_at_k(np.array([[True, True]]), np.array([1]), 2)
    with pytest.raises(InvalidInput, match="below 0"):
        ndcg_at_k(np.array([[-1.0, 1.0]]), np.array([[1.0]]), 2)
    with pytest.raises(InvalidInput, match=r"0\.\.2"):
        exposure_at_k(np.array([[0, 3]]), 3, 2)
    for exposure in (np.zeros(3), np.array([1.0, -1.0]), np.array([np.nan, 1.0])):
        with pytest.raises(InvalidInput, match="exposure"):
            exposure_entropy(exposure)
