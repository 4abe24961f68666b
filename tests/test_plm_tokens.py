"""Texts as tokens, and batches that are found by their number alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled, padded
from honeyguide.plm.tokens import tokenise, tokens_of
from tests.tiny_bert import tiny_artifact

TEXTS = ["frozen pizza", "", "shampoo and conditioner for dry hair", "qx, milk", "dog food" * 30]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(tiny_artifact().folder / "tokenizer.json"))


def test_files_hold_what_memory_holds_and_are_made_once(tmp_path: Path, tokenizer: Tokenizer) -> None:
    mapped = tokenise(iter(TEXTS), tokenizer, tmp_path / "t", key="k")
    held = tokens_of(TEXTS, tokenizer)
    for one in ("ids", "words", "starts"):
        np.testing.assert_array_equal(getattr(mapped, one), getattr(held, one))
    again = tokenise(iter(["other"]), tokenizer, tmp_path / "t", key="k")
    np.testing.assert_array_equal(again.ids, held.ids)
    assert len(tokenise(iter(["other"]), tokenizer, tmp_path / "t", key="new")) == 1
    assert len(tokenise(iter([]), tokenizer, tmp_path / "none", key="k")) == 0


def test_a_text_keeps_its_tokens_and_where_its_words_begin(tokenizer: Tokenizer) -> None:
    held = tokens_of(TEXTS, tokenizer)
    assert held.lengths[1] == 0
    for row, text in enumerate(TEXTS):
        whole = tokenizer.encode(text, add_special_tokens=False)
        assert held.text(row, 10_000).tolist() == whole.ids
        assert held.text(row, 3).tolist() == whole.ids[:3]
    pieces = tokenizer.encode(TEXTS[3], add_special_tokens=False).tokens
    assert held.word_starts(3, 100).tolist() == [not piece.startswith("##") for piece in pieces]


def test_half_a_character_is_read_as_a_blank(tokenizer: Tokenizer) -> None:
    held = tokens_of(["red \ud800 wine", "red wine"], tokenizer)
    assert held.text(0, 9).tolist() == held.text(1, 9).tolist()


lengths = st.lists(st.integers(2, 40), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(lengths, st.integers(40, 200), st.integers(0, 3), st.sampled_from([None, 1, 5]))
def test_an_epoch_holds_every_row_once_in_batches_that_fit(
    found: list[int], tokens: int, seed: int, rows: int | None
) -> None:
    sizes = np.array(found, dtype=np.int64)
    order = Shuffled(sizes, tokens, seed, rows)
    batches = [order.batch(number) for number in range(order.per_epoch)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) * sizes[batch].max() <= tokens
        assert rows is None or len(batch) <= rows
    again = Shuffled(sizes, tokens, seed, rows)
    for number in (0, order.per_epoch, 3 * order.per_epoch + 1):
        np.testing.assert_array_equal(order.batch(number), again.batch(number))


def test_alike_lengths_go_together_and_epochs_differ() -> None:
    sizes = np.random.default_rng(0).integers(3, 60, 4000)
    order = Shuffled(sizes, 1024, 1)
    held = sum(sizes[order.batch(n)].sum() for n in range(order.per_epoch))
    space = sum(len(order.batch(n)) * sizes[order.batch(n)].max() for n in range(order.per_epoch))
    assert held / space > 0.9
    assert order.batch(0).tolist() != order.batch(order.per_epoch).tolist()


def test_what_cannot_be_batched_is_told() -> None:
    with pytest.raises(InvalidInput, match="corpus is empty"):
        Shuffled(np.zeros(0, np.int64), 10, 0)
    with pytest.raises(InvalidInput, match="longest text"):
        Shuffled(np.array([11]), 10, 0)


def test_padding_stands_behind_the_last_token() -> None:
    texts = [np.array([7, 8], np.uint32), np.array([], np.uint32)]
    ids, mask = padded(texts, first=1, last=2, pad=0)
    assert ids.tolist() == [[1, 7, 8, 2], [1, 2, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
