"""What was taken along is remembered pair by pair, and backs off to the network's guess."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import GAPS, Sequences
from honeyguide.interests.sequence.memory import Memory
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.network import SequenceNetwork, Shape
from honeyguide.interests.sequence.ranking import best_of, ranks_of
from honeyguide.types import Vectors

ITEMS = 6


def sequences(*users: list[int]) -> Sequences:
    items = np.array([item for user in users for item in user], dtype=np.int64)
    return Sequences.of_items(items, np.cumsum([0, *(len(user) for user in users)]))


def even(users: int) -> Vectors:
    return np.full((users, ITEMS), 1 / ITEMS, dtype=np.float32)


LOG = sequences([0, 1], [0, 1, 2], [3, 4])


def test_pairs_are_counted_both_ways_and_only_within_a_user() -> None:
    memory = Memory.of(LOG, ITEMS, fading=1.0)
    assert memory.counts.toarray()[0].tolist() == [0, 2, 1, 0, 0, 0]
    assert memory.counts.toarray()[1].tolist() == [2, 0, 1, 0, 0, 0]
    assert memory.totals.tolist() == [3, 3, 2, 1, 1, 0]


def test_pairs_further_apart_than_asked_for_do_not_count() -> None:
    assert Memory.of(sequences([0, 1, 2]), ITEMS, within=1).counts.toarray()[0].tolist() == [0, 1, 0, 0, 0, 0]


def test_what_lies_between_fades_a_pair() -> None:
    found = Memory.of(sequences([0, 1, 2, 3]), ITEMS, fading=0.5).counts.toarray()[0]
    assert found.tolist() == [0, 1, 0.5, 0.25, 0, 0]


def test_what_was_before_may_count_less_than_what_came_after() -> None:
    found = Memory.of(sequences([0, 1, 2]), ITEMS, fading=1.0, backward=0.5).counts.toarray()
    assert found[1].tolist() == [0.5, 0, 1, 0, 0, 0]


def test_an_item_taken_twice_is_not_along_with_itself() -> None:
    assert Memory.of(sequences([0, 0, 1]), ITEMS, fading=1.0).counts.toarray()[0].tolist() == [
        0,
        2,
        0,
        0,
        0,
        0,
    ]


def test_the_mixture_is_the_smoothed_share() -> None:
    memory = Memory(
        Memory.of(LOG, ITEMS, fading=1.0).counts,
        Memory.of(LOG, ITEMS, fading=1.0).totals,
        backoff=3.0,
        recency=0.5,
    )
    found = memory.mix(sequences([0]), even(1))[0]
    assert found == pytest.approx([0.5 / 6, 2 / 6 + 0.5 / 6, 1 / 6 + 0.5 / 6, *[0.5 / 6] * 3])
    # of two items the older one weighs half: shares of 2/3 and 1/3
    both = memory.mix(sequences([3, 0]), even(1))[0]
    alone = memory.mix(sequences([3]), even(1))[0]
    assert both == pytest.approx(2 / 3 * found + 1 / 3 * alone)


@pytest.mark.parametrize("backoff", [0.0, 5.0])
def test_chances_sum_to_one_for_strangers_queries_and_unpaired_items_too(backoff: float) -> None:
    whole = Memory.of(LOG, ITEMS, fading=1.0, kept=1)
    memory = Memory(whole.counts, whole.totals, backoff=backoff)
    asked = sequences([], [5], [ITEMS + 2], [0, 5, 1])
    found = memory.mix(asked, even(4))
    assert found.sum(axis=1) == pytest.approx(np.ones(4))
    assert found[0] == pytest.approx(even(1)[0])
    assert (found >= 0).all()


def test_a_single_user_and_some_items_have_the_same_chances() -> None:
    model = SequenceModel(untaught(), Memory.of(LOG, ITEMS))
    rows = np.array([4, 0, 1])
    for asked in (sequences([0, 3, 1]), sequences([]), sequences([5])):
        assert model.chances(asked, rows) == pytest.approx(model.score(asked)[0, rows], abs=1e-6)


def test_what_is_not_kept_is_left_to_the_network() -> None:
    memory = Memory.of(LOG, ITEMS, fading=1.0, kept=1)
    assert memory.counts.toarray()[0].tolist() == [0, 2, 0, 0, 0, 0]
    assert memory.totals[0] == 3


def untaught(items: int = ITEMS) -> SequenceNetwork:
    """A network that knows popularity alone, and that as it is not."""
    shape = Shape(width=2, blocks=1, heads=1, longest=4)
    zeros = {
        name: np.zeros(size, dtype=np.float32)
        for name, size in {
            "kinds.weight": (9, 2), "gaps.weight": (GAPS, 2), "ahead.weight": (GAPS, 2),
            "places.weight": (5, 2), "nobody": (2,),
            "norm.weight": (2,), "norm.bias": (2,), "blocks.0.before.weight": (2,), "blocks.0.before.bias": (2,),
            "blocks.0.after.weight": (2,), "blocks.0.after.bias": (2,), "blocks.0.mix.weight": (6, 2),
            "blocks.0.mix.bias": (6,), "blocks.0.out.weight": (2, 2), "blocks.0.out.bias": (2,),
            "blocks.0.inner.weight": (8, 2), "blocks.0.inner.bias": (8,), "blocks.0.outer.weight": (2, 8),
            "blocks.0.outer.bias": (2,), "content.weight": (2, 3),
        }.items()
    }  # fmt: skip
    bias = np.linspace(0, 1, items).astype(np.float32)
    return SequenceNetwork(shape, np.zeros((items, 2), dtype=np.float32), bias, zeros)


def test_the_mixture_that_finds_most_is_taken_and_none_where_it_finds_less() -> None:
    network = untaught()
    asked = sequences([0], [0], [3])
    better = mixed(network, LOG, asked, sequences([1], [2], [4]), k=1)
    assert better.memory is not None
    assert ranks_of(better, asked, np.array([1, 2, 4])).tolist() == [0, 1, 0]
    worse = mixed(network, LOG, asked, sequences([5], [5], [5]), k=1)
    assert worse.memory is None
    assert best_of(worse, asked, 2)[0].tolist() == [[5, 4], [5, 4], [5, 4]]


def test_the_state_is_the_model() -> None:
    for model in (SequenceModel(untaught(), Memory.of(LOG, ITEMS, fading=1.0)), SequenceModel(untaught())):
        again = SequenceModel.from_state(*model.state())
        assert np.array_equal(again.score(LOG), model.score(LOG))
        assert model.score(LOG).sum(axis=1) == pytest.approx(np.ones(3))


def test_bad_mixtures_are_refused() -> None:
    counts = Memory.of(LOG, ITEMS, fading=1.0).counts
    with pytest.raises(InvalidInput, match="recency"):
        Memory(counts, np.zeros(ITEMS), recency=0.0)
    with pytest.raises(InvalidInput, match="backoff"):
        Memory(counts, np.zeros(ITEMS), backoff=-1.0)
