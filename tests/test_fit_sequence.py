"""What the sequence model is learned from and judged by: whole baskets are held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from honeyguide.config import Sequence, Settings
from honeyguide.fit.sequence import part
from honeyguide.interests.sequence.histories import AT_ONCE, FIRST, SOON, Sequences

HALF = replace(Settings(), sequence=Sequence(held_out=0.5))


def baskets(*users: list[list[int]]) -> Sequences:
    """Users with baskets with items."""
    tokens = [item for user in users for basket in user for item in basket]
    gaps = [
        AT_ONCE if place else (SOON if number else FIRST)
        for user in users
        for number, basket in enumerate(user)
        for place, _ in enumerate(basket)
    ]
    starts = np.cumsum([0, *(sum(map(len, user)) for user in users)])
    kinds = np.full(len(tokens), 4, dtype=np.int8)
    return Sequences(np.array(tokens), kinds, np.array(gaps, dtype=np.int8), starts)


def test_a_basket_is_held_out_whole_and_asked_for_at_its_moment() -> None:
    parted = part(baskets(*[[[1, 2], [3, 4, 5]]] * 4), HALF)
    assert sorted(parted.known.lengths.tolist()) == [2, 2, 5, 5]
    assert parted.asked.tokens.tolist() == [1, 2, 1, 2]
    assert parted.asked.ahead.tolist() == [SOON, SOON]
    assert parted.taken.tokens.tolist() == [3, 4, 5, 3, 4, 5]
    assert parted.taken.lengths.tolist() == [3, 3]
    assert parted.targets.tolist() == [5, 5]


def test_who_has_one_basket_alone_is_not_asked() -> None:
    parted = part(baskets([[1, 2, 3]], [[1], [2]]), HALF)
    assert parted.known.tokens.tolist() == [1, 2, 3, 1]
    assert (parted.asked.tokens.tolist(), parted.taken.tokens.tolist()) == ([1], [2])


def test_of_single_baskets_the_last_item_is_held_out() -> None:
    parted = part(baskets([[1, 2, 3]], [[4, 5]]), HALF)
    assert parted.taken.lengths.tolist() == [1]
    assert parted.asked.ahead.tolist() == [AT_ONCE]
    assert len(parted.known.tokens) == 4
