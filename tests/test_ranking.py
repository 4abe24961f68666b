"""What a ranking of the whole catalogue is worth."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.ranking import ranking_quality

RANKED = np.array([[0, 1, 2], [3, 0, 1], [0, 1, 3]])
TAKEN = np.array([7, 3, 1, 1])


def test_recall_and_ndcg_are_those_of_one_item() -> None:
    found = ranking_quality(RANKED, np.array([0, 0, 2]), TAKEN, 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.ndcg == pytest.approx((1 + 1 / np.log2(3) + 0) / 3)
    assert found.users == 3


def test_what_everybody_finds_counts_little_when_debiased() -> None:
    # the first finds the popular item, the second the one that was taken once
    popular = ranking_quality(RANKED[:2], np.array([0, 2]), TAKEN, 1)
    rare = ranking_quality(RANKED[:2], np.array([1, 3]), TAKEN, 1)
    assert popular.ndcg == rare.ndcg == 0.5
    assert popular.debiased_ndcg == pytest.approx(7**-1.5 / (7**-1.5 + 1))
    assert rare.debiased_ndcg == pytest.approx(1 / (1 + 3**-1.5))


def test_coverage_and_novelty_are_of_what_is_shown() -> None:
    found = ranking_quality(RANKED, np.array([0, 0, 2]), TAKEN, 2)
    assert found.coverage == 0.75
    bits = -np.log2(np.array([8, 4, 2, 2]) / 16)
    assert found.novelty == pytest.approx(bits[RANKED[:, :2]].mean())


def test_a_place_that_stays_empty_is_no_item() -> None:
    found = ranking_quality(np.array([[1, -1], [0, 2]]), np.array([1, 2]), TAKEN, 2)
    assert found.recall == 1.0
    assert np.isfinite(found.novelty)


def test_short_rankings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 4"):
        ranking_quality(RANKED, np.array([0, 0, 2]), TAKEN, 4)
