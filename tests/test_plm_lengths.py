"""Which texts share a batch: every text is in one, none is too large, and no other cutting would be cheaper."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.lengths import _together, cut_by_length, price
from tests.tiny_bert import tiny_artifact


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=300), st.integers(1, 70), st.integers(1, 5))
def test_every_text_with_tokens_is_in_one_batch_that_is_not_too_large(
    lengths: list[int], rows: int, threads: int
) -> None:
    given_lengths = np.array(lengths, dtype=np.int64)
    batches = cut_by_length(given_lengths, rows=rows, threads=threads)
    found = np.concatenate([np.zeros(0, np.int64), *batches])
    assert sorted(found.tolist()) == np.flatnonzero(given_lengths).tolist()
    sizes = [len(batch) * int(given_lengths[batch].max()) for batch in batches]
    assert all(len(batch) <= rows for batch in batches)
    assert all(len(batch) == 1 or size <= 1024 for batch, size in zip(batches, sizes, strict=True))
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_cutting_into_runs_of_lengths_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.choice(np.arange(1, 60), 9, replace=False)
    counts = np.bincount(np.repeat(lengths, rng.integers(1, 40, 9)))
    rows, full = int(rng.integers(1, 40)), int(rng.integers(100, 1025))
    there = sorted(lengths.tolist(), reverse=True)

    def paid(ends: tuple[int, ...]) -> int:
        total, begin = 0, 0
        for end in (*ends, len(there)):
            texts = int(counts[there[end - 1] : there[begin] + 1].sum())
            total, begin = total + price(texts, there[begin], rows, full), end
        return total

    cheapest = min(paid(ends) for n in range(len(there)) for ends in combinations(range(1, len(there)), n))
    assert sum(price(n, width, rows, full) for width, n in _together(counts, rows, full)) == cheapest


def test_few_texts_are_padded_and_many_are_not() -> None:
    few = cut_by_length(np.array([14, 15, 16]), rows=64)
    assert [batch.tolist() for batch in few] == [[2, 1, 0]]
    many = cut_by_length(np.repeat([14, 15, 16], 100), rows=64)
    assert all(len(set((batch // 100).tolist())) == 1 for batch in many)


def test_every_thread_has_something_to_read() -> None:
    assert len(cut_by_length(np.full(64, 32), rows=64, threads=1)) == 2
    assert len(cut_by_length(np.full(64, 32), rows=64, threads=8)) == 8


def test_threads_and_batches_change_nothing_but_the_last_bits() -> None:
    rng = np.random.default_rng(0)
    words = "frozen pizza dog food red wine hand soap".split()
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(0, 14, 200)]
    one = OnnxEncoder.load(tiny_artifact(), threads=1)
    alone = np.concatenate([one.encode([text]) for text in texts])
    for threads, rows in ((1, 64), (2, 64), (3, 5)):
        encoder = OnnxEncoder.load(tiny_artifact(), threads=threads, batch_size=rows)
        np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-6)
        np.testing.assert_array_equal(encoder.encode(texts), encoder.encode(texts))
