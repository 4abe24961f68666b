"""The exact scan keeps the laws of retrievers, and the suite catches retrievers that do not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honeyguide.checks import retriever as laws
from honeyguide.checks.policy import LawBroken
from honeyguide.checks.retriever import CHECKS_EXACT, CHECKS_RETRIEVER, RetrieverCheck
from honeyguide.errors import InvalidInput
from honeyguide.retrieve.exact import ExactRetriever, largest
from honeyguide.types import Rows, Vectors

Mask = NDArray[np.bool_] | None


@pytest.mark.parametrize("check", [*CHECKS_RETRIEVER, *CHECKS_EXACT], ids=lambda check: check.__name__)
def test_the_exact_retriever_keeps_the_law(check: RetrieverCheck) -> None:
    check(ExactRetriever)


def test_ties_across_the_partition_go_to_the_lower_row() -> None:
    vectors = np.array([[0], [1], [0], [1], [0], [2], [1]], dtype=np.float32)
    rows, scores = ExactRetriever(vectors).search(np.ones(1, dtype=np.float32), 3)
    assert rows.tolist() == [5, 1, 3]
    assert scores.tolist() == [2, 1, 1]


@pytest.mark.parametrize("k", [1, 7, 60, 900])
@pytest.mark.parametrize("levels", [1, 3, 10_000])
def test_the_largest_of_many_are_those_of_a_stable_sort(k: int, levels: int) -> None:
    scores = np.random.default_rng(k).integers(levels, size=1_000).astype(np.float32)
    for these in (scores, np.sort(scores), -scores):
        assert largest(these, k).tolist() == np.argsort(-these, kind="stable")[:k].tolist()


@pytest.mark.parametrize("vectors", [np.zeros(3), np.full((2, 2), np.nan)])
def test_vectors_that_cannot_be_searched_are_refused(vectors: Vectors) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        ExactRetriever(vectors)


class IgnoresTheFilter(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        super().search(query, k, allowed=allowed)
        return super().search(query, k)


class FiltersAfterwards(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k)
        keep = np.ones(len(rows), dtype=np.bool_) if allowed is None else allowed[rows]
        return rows[keep], scores[keep]


class FindsTwice(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=allowed)
        rows[1:2], scores[1:2] = rows[:1], scores[:1]
        return rows, scores


class Ascends(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=allowed)
        return rows[::-1], scores[::-1]


class HigherRowWins(ExactRetriever):
    def __init__(self, vectors: Vectors) -> None:
        super().__init__(vectors[::-1])

    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=None if allowed is None else allowed[::-1])
        return len(self) - 1 - rows, scores


class OneTooFew(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=allowed)
        return rows[:-1], scores[:-1]


class FailsBeyondN(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=allowed)
        return np.resize(rows, k), np.resize(scores, k)


class ScoresOfOthers(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=allowed)
        return rows, scores * np.float32(0.9)


class ShortRows(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        rows, scores = super().search(query, k, allowed=allowed)
        return rows.astype(np.int32), scores


class NormalisesInPlace(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        found = super().search(query, k, allowed=allowed)
        if query.flags.writeable:
            query *= 2
        return found


class EmptyShopFails(ExactRetriever):
    def __init__(self, vectors: Vectors) -> None:
        super().__init__(vectors if len(vectors) else np.ones((1, laws.DIM), dtype=np.float32))


class FindsWhatIsNotAllowed(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        return super().search(query, k, allowed=allowed if allowed is None or allowed.any() else None)


class TakesAnything(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        return super().search(np.nan_to_num(query), max(k, 1), allowed=allowed)


class SeesHalfTheShop(ExactRetriever):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        half = np.arange(len(self)) % 2 == 0
        return super().search(query, k, allowed=half if allowed is None else allowed & half)


CAUGHT: list[tuple[Callable[[Vectors], ExactRetriever], RetrieverCheck]] = [
    (IgnoresTheFilter, laws.check_filter),
    (FiltersAfterwards, laws.check_filter),
    (FindsTwice, laws.check_distinct),
    (Ascends, laws.check_descending),
    (HigherRowWins, laws.check_ties_go_to_the_lower_row),
    (OneTooFew, laws.check_shapes),
    (FailsBeyondN, laws.check_k_above_n),
    (ScoresOfOthers, laws.check_scores_belong_to_rows),
    (ShortRows, laws.check_shapes),
    (NormalisesInPlace, laws.check_inputs_unchanged),
    (EmptyShopFails, laws.check_no_items),
    (FindsWhatIsNotAllowed, laws.check_nothing_allowed),
    (TakesAnything, laws.check_bad_input_refused),
    (SeesHalfTheShop, laws.check_equals_brute_force),
]


@pytest.mark.parametrize(
    ("make", "check"), [pytest.param(m, c, id=f"{getattr(m, '__name__', m)}:{c.__name__}") for m, c in CAUGHT]
)
def test_a_broken_retriever_is_caught(make: Any, check: RetrieverCheck) -> None:
    with pytest.raises(LawBroken):
        check(make)


def test_every_law_catches_something_and_the_exact_scan_passes() -> None:
    assert {check for _, check in CAUGHT} == {*CHECKS_RETRIEVER, *CHECKS_EXACT}
    laws.check_retriever(ExactRetriever)


def test_an_approximate_retriever_is_held_to_the_recall_it_promises() -> None:
    laws.check_recall(SeesHalfTheShop, 0.35)
    with pytest.raises(LawBroken, match="recall"):
        laws.check_retriever(SeesHalfTheShopButAllOfASmallOne, recall=0.8)
    laws.check_retriever(SeesHalfTheShopButAllOfASmallOne, recall=0.35)


class SeesHalfTheShopButAllOfASmallOne(SeesHalfTheShop):
    def search(self, query: Vectors, k: int, *, allowed: Mask = None) -> tuple[Rows, Vectors]:
        if len(self) <= laws.N:
            return ExactRetriever.search(self, query, k, allowed=allowed)
        return super().search(query, k, allowed=allowed)
