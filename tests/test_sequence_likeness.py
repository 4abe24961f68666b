"""What is known of few events is held to be like what it resembles, and new items are taken as those alike."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.content import BANDS, content_of, price_signs, prices_or_paid
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import Likeness, share_of_new
from honeyguide.interests.sequence.memory import Memory
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.types import Vectors
from tests.test_sequence_memory import LOG, untaught

N = 6
# two kinds, {0, 1, 2} and {3, 4, 5}; 2 and 5 are new
VECTORS = np.array([[1, 0.1], [1, 0.2], [1, 0], [0, 1], [0.1, 1], [0.2, 1]], dtype=np.float32)
TAKEN = np.array([8, 2, 0, 4, 4, 0])


def sequences(*users: list[int]) -> Sequences:
    items = np.array([item for user in users for item in user], dtype=np.int64)
    return Sequences.of_items(items, np.cumsum([0, *(len(user) for user in users)]))


def even(users: int) -> Vectors:
    return np.full((users, N), 1 / N, dtype=np.float32)


def test_items_are_like_the_taken_ones_of_their_kind_and_never_like_themselves_or_a_new_one() -> None:
    likeness = Likeness.of(VECTORS, TAKEN)
    assert not (likeness.near == np.arange(N)[:, None]).any()
    assert not np.isin(likeness.near, [2, 5]).any()
    assert likeness.weights.sum(axis=1) == pytest.approx(np.ones(N))
    nearest = likeness.near[np.arange(N), likeness.weights.argmax(axis=1)]
    assert nearest.tolist() == [1, 0, 0, 4, 3, 4]


def test_the_chance_is_the_own_one_shrunk_to_that_of_those_alike() -> None:
    near = np.array([[1], [0], [0]])
    likeness = Likeness(near, np.ones((3, 1), dtype=np.float32), np.array([3.0, 1.0, 0.0]), rarity=1.0)
    found = likeness.mix(sequences([0]), np.array([[0.5, 0.3, 0.2]], dtype=np.float32))[0]
    # 0 lends of 0.6 x 0.5 + 0.4 for having been taken, 1 of 0.6 x 0.3; asked for 1.5 in all, 0 gives 1/3 and 2/3
    told = np.array([0.75 * 0.5 + 0.25 * 0.18, 0.5 * 0.3 + 0.7 / 3, 0.7 * 2 / 3])
    assert found == pytest.approx(told / told.sum(), abs=1e-6)


def test_a_new_item_is_found_by_who_took_its_kind() -> None:
    likeness = Likeness.of(VECTORS, TAKEN)
    found = likeness.mix(sequences([0], [3]), even(2))
    assert found[0, 2] > found[0, 5]
    assert found[1, 5] > found[1, 2]
    assert found.sum(axis=1) == pytest.approx(np.ones(2))


def test_many_of_one_name_have_together_no_more_than_the_one_that_was_sold() -> None:
    vectors = np.concatenate([np.tile([[1.0, 0.0]], (51, 1)), [[0.0, 1.0]]]).astype(np.float32)
    taken = np.array([5] + [0] * 50 + [5])
    likeness = Likeness.of(vectors, taken)
    assert np.asarray(likeness.lent.sum(axis=1)).max() <= 1 + 1e-5
    chances = np.array([[0.5] + [0.0] * 50 + [0.5]], dtype=np.float32)
    found = likeness.mix(sequences([]), chances)[0]
    assert found[1:51].sum() <= found[0] + found[51]
    assert found[1:51].max() < 0.05 * found[0]


def test_an_item_with_many_events_keeps_its_own_chance() -> None:
    likeness = Likeness.of(VECTORS, np.array([10**9] * N), rarity=3.0)
    chances = np.array([[0.4, 0.1, 0.1, 0.1, 0.1, 0.2]], dtype=np.float32)
    assert likeness.mix(sequences([3]), chances) == pytest.approx(chances, abs=1e-6)


def test_new_items_are_taken_as_often_as_the_log_says_and_no_oftener_than_those_alike() -> None:
    likeness = Likeness.of(VECTORS, TAKEN)
    assert likeness.with_share(0.0).newness == 0.0
    assert likeness.with_share(0.99).newness == 1.0
    some = likeness.with_share(0.1)
    assert 0 < some.newness < 1
    # for users who take by popularity, and nothing yet, a tenth then goes to the new ones
    usual = (TAKEN / TAKEN.sum())[None, :].astype(np.float32)
    held = Likeness(some.near, some.weights, np.where(TAKEN > 0, 1e9, 0), newness=some.newness)
    echoed = held.mix(sequences(np.repeat(np.arange(N), TAKEN).tolist()), usual)
    assert echoed[0, [2, 5]].sum() == pytest.approx(0.1, abs=0.04)
    nothing_new = Likeness.of(VECTORS, TAKEN + 1)
    assert nothing_new.with_share(0.0) is nothing_new


@pytest.mark.parametrize("history", [[], [0], [3, 1, 0, 0]])
@pytest.mark.parametrize("memory", [None, Memory.of(LOG, N, fading=1.0)])
def test_one_user_asked_of_some_items_is_that_user_among_all(
    history: list[int], memory: Memory | None
) -> None:
    model = SequenceModel(untaught(), memory, Likeness.of(VECTORS, TAKEN))
    rows = np.array([5, 2, 0, 2])
    asked = sequences(history)
    assert model.chances(asked, rows) == pytest.approx(model.score(asked)[0, rows], rel=1e-5)
    assert model.score(asked).sum() == pytest.approx(1.0, rel=1e-5)


def test_the_state_is_the_model_with_its_likeness() -> None:
    model = SequenceModel(untaught(), None, Likeness.of(VECTORS, TAKEN, rarity=3.0, newness=0.5))
    again = SequenceModel.from_state(*model.state())
    assert again.likeness is not None
    assert (again.likeness.rarity, again.likeness.newness) == (3.0, 0.5)
    assert np.array_equal(again.score(LOG), model.score(LOG))


def test_mixing_takes_the_rarity_that_finds_most() -> None:
    # what follows is always the other of the kind, which pairs never told: those alike have to
    known = sequences([0, 3], [1, 4], [2, 5])
    asked, taken = sequences([0], [1], [3], [4]), sequences([1], [0], [4], [3])
    model = mixed(untaught(), known, asked, taken, vectors=VECTORS, k=1)
    assert model.likeness is not None
    assert model.likeness.rarity == 10.0
    turns: list[tuple[int, int]] = []
    mixed(untaught(), known, asked, taken, vectors=VECTORS, progress=lambda *turn: turns.append(turn))
    assert turns == [(turn, len(turns)) for turn in range(1, len(turns) + 1)]


def test_the_share_of_new_items_is_of_what_was_taken_last() -> None:
    assert share_of_new(np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])) == 1.0
    assert share_of_new(np.array([0] * 10)) == 0.0


def test_bad_likenesses_are_refused() -> None:
    near, weights = np.zeros((2, 1), dtype=np.int64), np.ones((2, 1), dtype=np.float32)
    with pytest.raises(InvalidInput, match="rarity"):
        Likeness(near, weights, np.ones(2), rarity=0.0)
    with pytest.raises(InvalidInput, match="newness"):
        Likeness(near, weights, np.ones(2), newness=1.5)
    with pytest.raises(InvalidInput, match="no item was taken"):
        Likeness.of(VECTORS, np.zeros(N, dtype=np.int64))


def test_prices_are_read_as_bands_of_the_shop() -> None:
    signs = price_signs([float(price) for price in range(1, 101)])
    assert signs.argmax(axis=1).tolist() == sorted(signs.argmax(axis=1).tolist())
    assert np.bincount(signs.argmax(axis=1), minlength=BANDS).tolist() == pytest.approx([12.5] * 8, abs=1)
    assert np.linalg.norm(signs, axis=1) == pytest.approx(np.full(100, 0.5))
    # in another currency they say the same
    assert price_signs([float(price) * 7.8 for price in range(1, 101)]) == pytest.approx(signs)
    assert not price_signs([None, 0.0, 5.0, 5.0]).any()


def test_a_price_that_the_catalogue_does_not_know_is_what_was_paid() -> None:
    paid = np.array([3.0, 5.0, 100.0, np.nan, 7.0, 2.0])
    assert prices_or_paid([None, 1.0, None], np.array([0, 0, 0, 0, 1, -1]), paid) == [5.0, 1.0, None]
    assert prices_or_paid([None], np.array([0, 0]), np.full(2, np.nan)) == [None]


def test_content_is_the_text_without_what_all_share_and_a_search_has_no_price() -> None:
    texts = np.array([[1, 2], [3, 2]], dtype=np.float32)
    found = content_of(texts, [1.0, 2.0], np.array([[2, 3], [0, 0]], dtype=np.float32))
    assert found[:, :2].tolist() == [[-1, 0], [1, 0], [0, 1], [0, 0]]
    assert found[:2, 2:].any(axis=1).all()
    assert not found[2:, 2:].any()


def test_likeness_is_left_out_where_it_loses_more_than_new_items_are_worth() -> None:
    # 3 is named as 4 and nobody wants it; who took 4 takes 5, which the network alone puts first
    vectors = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0, 1], [1, 0.3]], dtype=np.float32)
    known = sequences([4], [5], [0])
    model = mixed(untaught(), known, sequences(*[[4]] * 10), sequences(*[[5]] * 10), vectors=vectors, k=1)
    assert model.likeness is None
    # where nothing is lost new items are to be found
    model = mixed(
        untaught(), known, sequences(*[[0]] * 10), sequences(*[[5]] * 10), vectors=vectors[::-1], k=3
    )
    assert model.likeness is not None


def test_what_is_new_to_users_decides_where_enough_took_such_an_item() -> None:
    known = sequences(*[[0, 1]] * 5, *[[5, 1]] * 5)
    # most take 5 again, which the network alone puts first; some take what goes along with theirs
    again, new = [[5]] * 300, [[0]] * 100
    taken = [[1]] * 100 + [[5]] * 300
    found = mixed(untaught(), known, sequences(*new, *again), sequences(*taken), k=1)
    assert found.memory is not None
    found = mixed(untaught(), known, sequences(*new[1:], *again), sequences(*taken[1:]), k=1)
    assert found.memory is None
