"""A head on words: which token speaks for a word, in learning and in telling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.heads.head import Feeding, Reader
from honeyguide.plm.heads.tags import Tagged, TokenClassification
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.feeds import Feed
from honeyguide.plm.words import first_tokens, words_of
from tests.tiny_bert import save_tiny_bert

CPU = torch.device("cpu")
DIM = 32


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(str(save_tiny_bert(tmp_path_factory.mktemp("bert"))), "encoder")


@pytest.fixture
def reader(backbone: Backbone) -> Reader:
    return Reader(backbone.model.base_model, backbone.pooling).eval()


@pytest.fixture
def feeding(backbone: Backbone) -> Feeding:
    return Feeding.of(backbone, max_tokens=12, batch_tokens=64, seed=1)


def stirred(head: Any) -> Any:
    """The head with weights that say something, not dropping anything."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return head.eval()


def taken(feed: Feed, number: int = 0) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(column) for name, column in feed.batch(number).items()}


def test_tags_are_learned_at_the_first_token_of_each_word(reader: Reader, feeding: Feeding) -> None:
    texts = ("red qxz wine", "milk", "frozen pizza and hand soap and milk and dog food", "")
    tags = ((1, 2, 0), (1,), (0, 1, 0, 0, 1, 0, 1, 0, 1, 1), ())
    head = stirred(TokenClassification(["o", "item", "odd"], DIM))
    feed = head.feed(Tagged(texts, tags), feeding)
    words: list[tuple[str, int]] = []
    total, count = 0.0, 0
    for number in range(feed.order.per_epoch):
        batch = taken(feed, number)
        flat = batch["ids"].flatten()
        with torch.no_grad():
            states = reader.states(batch["ids"], batch["mask"]).flatten(0, 1).numpy().astype(np.float64)
        for place, tag in zip(batch["places"].tolist(), batch["targets"].tolist(), strict=True):
            words.append((str(feeding.tokenizer.id_to_token(int(flat[place]))), tag))
            said = states[place] @ head.out.weight.detach().numpy().T + head.out.bias.detach().numpy()
            total -= float(said[tag] - np.log(np.exp(said).sum()))
            count += 1
        with torch.no_grad():
            assert float(head.loss(reader, batch)) * len(batch["places"]) == pytest.approx(total, rel=1e-4)
        total = 0.0
    assert ("q", 2) in words  # the word that is no word of the vocabulary, by its first letter
    assert count == 14  # ten tokens fit, and all of these words are within them
    assert sorted(tag for _, tag in words) == sorted(tag for row in tags for tag in row)


def test_a_word_is_told_what_its_first_token_says(reader: Reader, feeding: Feeding) -> None:
    head = stirred(TokenClassification(["o", "item", "odd"], DIM))
    (told,) = head.predict(reader, ["red qxz wine"], feeding, CPU)
    text = tokens_of(["red qxz wine"], feeding.tokenizer).text(0, 10)
    assert len(text) == 5  # red q ##x ##z wine
    ids, mask = (torch.from_numpy(array) for array in feeding.padded([text]))
    with torch.no_grad():
        every = head.logits(reader, ids, mask).softmax(2)[0].numpy()
    np.testing.assert_allclose(told, every[[1, 2, 5]], atol=1e-6)


def test_words_that_are_cut_off_are_not_learned_and_get_zeros(reader: Reader, backbone: Backbone) -> None:
    short = Feeding.of(backbone, max_tokens=5)
    head = stirred(TokenClassification(["o", "item"], DIM))
    feed = head.feed(Tagged(("milk milk milk milk milk",), ((1, 1, 1, 1, 1),)), short)
    assert len(feed.batch(0)["places"]) == 3
    (told,) = head.predict(reader, ["milk milk milk milk milk"], short, CPU)
    np.testing.assert_allclose(told[:3].sum(1), 1, rtol=1e-6)
    assert not told[3:].any()


@given(st.text(alphabet="ab \t\u00a0é.ßx", max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_every_word_begins_where_its_first_token_does(text: str, rng: Any) -> None:
    """Tokens cut anywhere, with or without the white space before them."""
    offsets, place = [], 0
    while place < len(text):
        end = min(len(text), place + rng.randint(1, 3))
        piece = text[place:end]
        if len(words_of(piece)) > 1 or (piece.strip() and piece != piece.rstrip()):
            end = place + 1  # a token has no white space within or behind it
        offsets.append((place, end))
        place = end
    first = first_tokens(text, offsets)
    assert len(first) == len(words_of(text))
    for word, token in zip(words_of(text), first.tolist(), strict=True):
        start, end = offsets[token]
        assert word.startswith(text[start:end].strip())
        assert text[start:end].strip()
    assert first.tolist() == sorted(set(first.tolist()))
    assert first_tokens(text, []).tolist() == [-1] * len(first)
