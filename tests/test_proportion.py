"""Whether pages hold interests in the proportion of the past."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.proportion import disproportion_at_k

OF = np.array([0, 0, 1, 1, 2])


def test_a_page_in_proportion_is_not_apart_and_its_order_does_not_matter() -> None:
    past = np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 7.0]])
    ranked = np.array([[0, 2, 1, 3], [4, 4, 4, 4]])
    assert disproportion_at_k(ranked, past, OF, 4) == pytest.approx([0.0, 0.0])
    assert disproportion_at_k(ranked, past, OF, 2) == pytest.approx([0.0, 0.0])
    assert disproportion_at_k(ranked[:, ::-1], past, OF, 4) == pytest.approx([0.0, 0.0])


def test_the_less_of_an_interest_the_further_apart() -> None:
    past = np.full((3, 2), 5.0)
    found = disproportion_at_k(np.array([[0, 2, 3, 1], [0, 1, 0, 2], [0, 1, 0, 1]]), past, OF[:4], 4)
    # 3 to 1: told are 0.99 x 3/4 + 0.01 / 2 and 0.99 / 4 + 0.01 / 2
    middle = 0.5 * np.log(0.5 / 0.7475) + 0.5 * np.log(0.5 / 0.2525)
    assert found == pytest.approx([0.0, middle, 0.5 * np.log(0.5 / 0.995) + 0.5 * np.log(0.5 / 0.005)])


def test_an_empty_page_holds_nothing_of_the_past() -> None:
    found = disproportion_at_k(np.full((1, 2), -1), np.array([[1.0, 3.0, 0.0]]), OF, 2)
    assert found == pytest.approx([np.log(100)])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 3"):
        disproportion_at_k(np.array([[0, 1]]), np.ones((1, 3)), OF, 3)
    for past in (np.zeros((1, 3)), np.array([[-1.0, 2.0, 0.0]]), np.ones((1, 2))):
        with pytest.raises(InvalidInput, match="something of each user"):
            disproportion_at_k(np.array([[0, 1]]), past, OF, 2)
