"""Noisy feeds: without noise they are the feed itself, with it the same at every asking; a kill changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.adapters.lowrank import Lora
from honeyguide.plm.adversarial import fgm
from honeyguide.plm.augment import Noise, NoisyFeed, NoisyTexts, noisy_reading
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.finetune import Regime, Split, finetune
from honeyguide.plm.heads.labels import Classification, Labelled
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.objectives.following import FollowingFeed
from honeyguide.plm.objectives.masked import MaskedFeed
from honeyguide.plm.rdrop import RDrop
from honeyguide.plm.synonyms import Synonyms
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.tiny_bert import WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)
NOTHING = Noise(synonyms=0, insertion=0, swap=0, deletion=0, typos=0)
TEXTS = [" ".join(WORDS[(s + i) % len(WORDS)] for i in range(2 + s % 5)) for s in range(24)]
FEEDS = ["masked", "following", "contrastive"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(str(save_tiny_bert(tmp_path_factory.mktemp("bert"))), "masked")


def feed_of(name: str, backbone: Backbone) -> MaskedFeed | FollowingFeed | PairFeed:
    tokens = tokens_of(TEXTS, backbone.fast_tokenizer)
    first, second = np.arange(20), np.arange(4, 24)
    if name == "masked":
        return MaskedFeed.of(tokens, backbone.special, max_tokens=16, batch_tokens=128, seed=1)
    if name == "following":
        return FollowingFeed.of(
            tokens, first, second, backbone.special, max_tokens=32, batch_tokens=256, seed=1
        )
    return PairFeed.of(tokens, first, second, backbone.special, max_tokens=16, rows=8, seed=1)


def noisy(
    name: str, backbone: Backbone, noise: Noise, *, seed: int = 0, allowed: NDArray[np.bool_] | None = None
) -> NoisyFeed:
    known = Synonyms({"pizza": (("soap", 1.0),)})
    around = noisy_reading(TEXTS, backbone.fast_tokenizer, noise, synonyms=known, seed=seed, allowed=allowed)
    return around(feed_of(name, backbone))


@pytest.mark.parametrize("name", FEEDS)
def test_without_noise_a_feed_is_itself(backbone: Backbone, name: str) -> None:
    plain = feed_of(name, backbone)
    spared = noisy(name, backbone, Noise(typos=1.0), allowed=np.zeros(len(TEXTS), dtype=np.bool_))
    for number in range(5):
        for same in (noisy(name, backbone, NOTHING), noisy(name, backbone, Noise(share=0)), spared):
            batch = same.batch(number)
            assert batch.keys() == plain.batch(number).keys()
            for column, wanted in plain.batch(number).items():
                np.testing.assert_array_equal(batch[column], wanted)


@pytest.mark.parametrize("name", FEEDS)
def test_noise_is_found_by_number_and_seed(backbone: Backbone, name: str) -> None:
    feed = noisy(name, backbone, Noise(typos=0.5))
    again, other = noisy(name, backbone, Noise(typos=0.5)), noisy(name, backbone, Noise(typos=0.5), seed=1)
    batches = {number: feed.batch(number) for number in (3, 0, 9)}
    for number in (0, 3, 9):
        for column, wanted in batches[number].items():
            np.testing.assert_array_equal(again.batch(number)[column], wanted)
    ids = "first" if name == "contrastive" else "ids"
    assert batches[3][ids].tolist() != other.batch(3)[ids].tolist()
    assert batches[0][ids].tolist() != feed.batch(feed.feed.order.per_epoch)[ids].tolist()  # type: ignore[attr-defined]


def test_what_a_store_gives_is_the_noisy_text_as_the_tokenizer_reads_it(backbone: Backbone) -> None:
    noise = Noise(typos=0.5)
    tokenizer = backbone.fast_tokenizer
    store = NoisyTexts(tokens_of(TEXTS, tokenizer), TEXTS, tokenizer, noise)
    tokenizer.no_truncation()
    for number in range(3):
        view = store.at(number)
        for row, text in enumerate(TEXTS):
            wanted = noise.apply(text, np.random.default_rng([0, number, row, 7]))
            encoding = tokenizer.encode(wanted, add_special_tokens=False)
            assert view.text(row, 99).tolist() == encoding.ids
            assert view.text(row, 99) is view.text(row, 99)
            starts = view.word_starts(row, 99)
            assert len(starts) == len(encoding.ids)
            assert starts.sum() == len(set(encoding.word_ids))
            assert len(view.text(row, 2)) <= 2


def test_a_killed_job_with_noise_ends_where_an_unbroken_one_ends(tmp_path: Path, backbone: Backbone) -> None:
    start = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}

    def learn(folder: Path, stop_at: int | None = None) -> dict[str, torch.Tensor]:
        backbone.model.load_state_dict(start)
        module = Contrastive(backbone.model.base_model, "mean")

        def progress(done: int, total: int) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        terms = [Term("pairs", module, noisy("contrastive", backbone, Noise(typos=0.5)))]
        schedule = Schedule(6, learning_rate=1e-3, checkpoint_every=2)
        train(terms, schedule, place=HERE, folder=folder, key="k", progress=progress)
        return {name: tensor.clone() for name, tensor in module.state_dict().items()}

    whole = learn(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "broken", 3)
    resumed = learn(tmp_path / "broken")
    backbone.model.load_state_dict(start)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_task_is_taught_with_noise_an_adversary_r_drop_and_frozen_words(
    tmp_path: Path, backbone: Backbone
) -> None:
    """Everything at once through `finetune`; one text holds half a character."""
    texts = (*TEXTS, "half \ud800 wine")
    milk = np.array([int("milk" in text.split()) for text in texts])
    words = backbone.model.base_model.embeddings.word_embeddings.weight
    before = words.detach().clone()
    head = Classification(["other", "milk"], 32)
    regime = Regime(
        around=lambda module: RDrop(module, head.out),
        noisy=noisy_reading(texts, backbone.fast_tokenizer, Noise(typos=0.1)),
        backward=fgm(0.1),
    )
    found = finetune(
        backbone, head, Split(Labelled(texts, milk)), Lora(4), Schedule(12, learning_rate=1e-2), place=HERE,
        folder=tmp_path, regime=regime,
    )  # fmt: skip
    losses = [figures["loss"] for _, figures in found.outcome.history]
    assert losses[-1] < losses[0]
    assert all("adversarial" in figures for _, figures in found.outcome.history)
    assert torch.equal(words, before)


def test_stores_that_do_not_fit_are_told(backbone: Backbone) -> None:
    feed = feed_of("masked", backbone)
    with pytest.raises(InvalidInput, match="24 rows of tokens"):
        NoisyTexts(feed.tokens, TEXTS[:3], backbone.fast_tokenizer)
    with pytest.raises(InvalidInput, match="allowed"):
        NoisyTexts(feed.tokens, TEXTS, backbone.fast_tokenizer, allowed=np.ones(3, dtype=np.bool_))
    few = NoisyTexts(tokens_of(TEXTS[:3], backbone.fast_tokenizer), TEXTS[:3], backbone.fast_tokenizer)
    with pytest.raises(InvalidInput, match="as many texts"):
        NoisyFeed(feed, few)
