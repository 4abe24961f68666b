"""What each objective hides, pairs and forbids; and that a small model learns from each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.batches import padded
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.objectives.causal import CausalFeed
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.objectives.following import FollowingFeed
from honeyguide.plm.objectives.masked import MaskedFeed, MaskedLanguage, perplexity
from honeyguide.plm.pretrain import Material, Reading, Weights, pretrain
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.schedule import Schedule
from tests.tiny_bert import WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)
SHELF = ["red wine", "frozen pizza", "dog food", "hand soap", "dry shampoo", "organic milk"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def backbone(checkpoint: Path) -> Backbone:
    torch.manual_seed(0)
    return open_backbone(str(checkpoint), "masked")


def corpus(backbone: Backbone, n: int = 300) -> Tokens:
    """Texts in which a word tells the next one, so that there is something to guess."""
    rng = np.random.default_rng(1)
    starts = rng.integers(0, len(WORDS), n)
    texts = [" ".join(WORDS[(s + i) % len(WORDS)] for i in range(2 + s % 7)) for s in starts]
    return tokens_of(texts, backbone.fast_tokenizer)


@pytest.mark.parametrize("whole", [True, False])
def test_hidden_places_are_a_share_of_every_text_and_hold_what_stood_there(
    backbone: Backbone, whole: bool
) -> None:
    tokens = tokens_of(["frozen qxz milk wine abc", "milk", "", "dog food red wine"], backbone.fast_tokenizer)
    special = backbone.special
    feed = MaskedFeed.of(tokens, special, max_tokens=32, share=0.3, whole_words=whole, seed=1)
    plain = MaskedFeed.of(tokens, special, max_tokens=32, share=0.3, whole_words=whole, seed=1)
    for number in range(30):
        batch = feed.batch(number)
        ids, places = batch["ids"], batch["places"]
        restored = ids.reshape(-1).copy()
        restored[places] = batch["targets"]
        rows = [int(row) for row in feed.order.batch(number)]
        for line, row in zip(restored.reshape(ids.shape), rows, strict=True):
            text = tokens.text(row, 30).tolist()
            assert line[: len(text) + 2].tolist() == [special.first, *text, special.last]
        chosen = np.bincount(places // ids.shape[1], minlength=len(rows))
        for row, n in zip(rows, chosen.tolist(), strict=True):
            size = int(tokens.lengths[row])
            assert (n >= 1) if size else (n == 0)
            assert whole or n == max(1, round(0.3 * size)) or not size
            if whole and size:
                begins = tokens.word_starts(row, 30)
                width = ids.shape[1]
                inside = places[places // width == rows.index(row)] % width - 1
                ends = set(inside.tolist())
                assert all(begins[i] or (i - 1) in ends for i in ends)  # no word is hidden in part
                assert all(i + 1 in ends for i in ends if i + 1 < size and not begins[i + 1])
        for name, column in plain.batch(number).items():
            np.testing.assert_array_equal(column, batch[name])


def test_four_fifths_are_masked_a_tenth_swapped_and_a_tenth_left(backbone: Backbone) -> None:
    feed = MaskedFeed.of(
        corpus(backbone, 2000), backbone.special, max_tokens=32, share=0.5, whole_words=False
    )
    fates = np.zeros(3)
    for number in range(feed.order.per_epoch):
        batch = feed.batch(number)
        now = batch["ids"].reshape(-1)[batch["places"]]
        fates += [(now == backbone.special.mask).sum(), 0, (now == batch["targets"]).sum()]
        fates[1] += len(now)
    assert fates[0] / fates[1] == pytest.approx(0.8, abs=0.02)
    assert fates[2] / fates[1] == pytest.approx(0.1, abs=0.02)


def test_logits_at_the_hidden_places_are_the_models_own(backbone: Backbone) -> None:
    batch = MaskedFeed.of(corpus(backbone), backbone.special, max_tokens=32).batch(0)
    found = {name: torch.from_numpy(column) for name, column in batch.items()}
    module = MaskedLanguage(backbone.model).eval()
    with torch.no_grad():
        whole = backbone.model(input_ids=found["ids"], attention_mask=found["mask"]).logits.flatten(0, 1)
        ours = module.logits(found["ids"], found["mask"], found["places"])
    torch.testing.assert_close(ours, whole[found["places"]])


def test_a_pair_follows_or_its_second_was_drawn_from_all_seconds(backbone: Backbone) -> None:
    tokens = tokens_of(SHELF, backbone.fast_tokenizer)
    first, second = np.array([0, 1, 2, 3] * 20), np.array([1, 2, 3, 4] * 20)
    feed = FollowingFeed.of(tokens, first, second, backbone.special, max_tokens=20, seed=2)
    follows, pairs = 0, 0
    real = {
        (tuple(tokens.text(a, 99)), tuple(tokens.text(b, 99))) for a, b in zip(first, second, strict=True)
    }
    for number in range(feed.order.per_epoch):
        batch = feed.batch(number)
        for ids, types, mask, label in zip(
            batch["ids"], batch["types"], batch["mask"], batch["follows"], strict=True
        ):
            n = int(mask.sum())
            cut = int((types[:n] == 0).sum())
            assert ids[0] == backbone.special.first
            assert ids[cut - 1] == ids[n - 1] == backbone.special.last
            pair = (tuple(ids[1 : cut - 1]), tuple(ids[cut : n - 1]))
            assert (pair in real) == bool(label)
            follows, pairs = follows + int(label), pairs + 1
    assert 0.5 <= follows / pairs <= 0.75  # a quarter of the random ones are real by chance


def test_what_goes_together_is_never_a_negative(backbone: Backbone) -> None:
    tokens = tokens_of(SHELF, backbone.fast_tokenizer)
    first, second = np.array([0, 0, 1, 2, 3]), np.array([1, 2, 3, 4, 4])
    feed = PairFeed.of(tokens, first, second, backbone.special, max_tokens=20, rows=5)
    batch = feed.batch(0)
    rows = feed.order.batch(0)
    known = set(zip(first.tolist(), second.tolist(), strict=True))
    known |= {(b, a) for a, b in known}
    for i, a in enumerate(first[rows]):
        for j, b in enumerate(second[rows]):
            no_negative = (int(a), int(b)) in known or a == b
            assert bool(batch["banned"][i, j]) == (no_negative and i != j)
    np.testing.assert_allclose(
        np.exp(batch["log_q"]), np.bincount(second, minlength=6)[second[rows]] / 5, rtol=1e-6
    )


def test_the_contrastive_loss_is_what_a_loop_computes(backbone: Backbone) -> None:
    tokens = tokens_of(SHELF, backbone.fast_tokenizer)
    first, second = np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4])
    feed = PairFeed.of(tokens, first, second, backbone.special, max_tokens=20, rows=4)
    batch = {name: torch.from_numpy(column) for name, column in feed.batch(0).items()}
    module = Contrastive(backbone.model.base_model, "mean", temperature=0.1).eval()
    with torch.no_grad():
        loss = float(module(**batch))
        a = module.vectors(batch["first"], batch["first_mask"]).numpy().astype(np.float64)
        b = module.vectors(batch["second"], batch["second_mask"]).numpy().astype(np.float64)
    scores = np.where(batch["banned"].numpy() == 1, -np.inf, a @ b.T / 0.1)
    forth = scores - batch["log_q"].numpy()[None, :]
    rows = [-forth[i, i] + np.log(np.exp(forth[i]).sum()) for i in range(4)]
    columns = [-scores[i, i] + np.log(np.exp(scores[:, i]).sum()) for i in range(4)]
    assert loss == pytest.approx((np.mean(rows) + np.mean(columns)) / 2, abs=1e-5)


def test_blocks_hold_every_text_once_in_their_order(backbone: Backbone) -> None:
    tokens = corpus(backbone, 40)
    end = backbone.special.last
    feed = CausalFeed(tokens, end, block=16, rows=3, seed=4)
    blocks = np.concatenate([feed.batch(n)["ids"] for n in range(feed.per_epoch)])[: feed.blocks]
    stream = blocks.reshape(-1).tolist()
    texts = sorted(tuple(tokens.text(row, 99).tolist()) for row in range(len(tokens)))
    found: list[tuple[int, ...]] = []
    text: list[int] = []
    for token in stream:
        if token == end:
            found.append(tuple(text))
            text = []
        else:
            text.append(token)
    assert len(texts) - len(found) <= 16  # what does not fill the last block is left out
    assert all(texts.count(one) >= found.count(one) for one in set(found))
    with pytest.raises(InvalidInput, match="fewer than one block"):
        CausalFeed(tokens, end, block=1 << 20, rows=1)


def material(backbone: Backbone) -> Material:
    items = tokens_of(SHELF, backbone.fast_tokenizer)
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 400) * 2
    pairs = ItemPairs(first, first + 1)
    return Material(corpus(backbone), corpus(backbone, 50), items, pairs)


READING = Reading(max_tokens=16, batch_tokens=512, pairs=8)


@pytest.mark.slow
def test_filling_in_words_lowers_the_perplexity_on_held_out_texts(backbone: Backbone, tmp_path: Path) -> None:
    found = pretrain(
        backbone, material(backbone), Weights(), Schedule(150, learning_rate=3e-3, eval_every=50), place=HERE,
        folder=tmp_path, reading=READING,
    )  # fmt: skip
    assert found.before is not None
    assert found.after is not None
    assert found.after < 0.5 * found.before
    assert found.after == pytest.approx(found.outcome.best)


@pytest.mark.slow
def test_all_objectives_are_learned_at_once_and_a_kill_changes_nothing(
    checkpoint: Path, tmp_path: Path
) -> None:
    def learn(folder: Path, stop_at: int | None) -> Backbone:
        torch.manual_seed(0)
        backbone = open_backbone(str(checkpoint), "masked")

        def progress(done: int, total: int) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        weights = Weights(masked=1.0, following=0.5, contrastive=0.5)
        schedule = Schedule(24, learning_rate=3e-3, eval_every=8, checkpoint_every=7)
        found = pretrain(
            backbone, material(backbone), weights, schedule, place=HERE, folder=folder, reading=READING,
            progress=progress,
        )  # fmt: skip
        first, last = found.outcome.history[0][1], found.outcome.history[-1][1]
        assert {"masked", "following", "contrastive", "loss", "perplexity"} <= last.keys()
        assert all(last[name] < first[name] for name in ("masked", "contrastive", "loss"))
        return backbone

    whole = learn(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "broken", 13)
    resumed = learn(tmp_path / "broken", None)
    for (name, a), (_, b) in zip(
        whole.model.named_parameters(), resumed.model.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name


def test_a_look_at_many_texts_is_a_look_at_some(backbone: Backbone) -> None:
    feed = MaskedFeed.of(material(backbone).held_out, backbone.special, max_tokens=16, batch_tokens=64)
    module = MaskedLanguage(backbone.model).eval()
    assert feed.order.per_epoch > 2
    losses = []
    for number in range(2):
        batch = feed.batch(number)
        with torch.no_grad():
            loss = float(module(**{name: torch.from_numpy(array) for name, array in batch.items()}))
        losses += [loss] * len(batch["targets"])
    device = torch.device("cpu")
    assert perplexity(module, feed, device, most=2) == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    whole = perplexity(module, feed, device)
    assert perplexity(module, feed, device, most=999) == whole != perplexity(module, feed, device, most=2)


@pytest.mark.slow
def test_items_that_are_taken_together_come_to_lie_together(backbone: Backbone, tmp_path: Path) -> None:
    stuff = material(backbone)
    assert stuff.items is not None
    items = stuff.items

    def gap() -> float:
        """Mean similarity of what goes together, less that of what does not."""
        module = Contrastive(backbone.model.base_model, "mean").eval()
        rows = [items.text(row, 14) for row in range(6)]
        ids, mask = padded(rows, first=backbone.special.first, last=backbone.special.last, pad=0)
        with torch.no_grad():
            vectors = module.vectors(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        near = vectors @ vectors.T
        pairs = [near[i, i + 1] for i in (0, 2, 4)]
        others = [
            near[i, j] for i in range(6) for j in range(i + 1, 6) if (i, j) not in ((0, 1), (2, 3), (4, 5))
        ]
        return float(np.mean(pairs) - np.mean(others))

    before = gap()
    pretrain(
        backbone, stuff, Weights(masked=0, contrastive=1.0), Schedule(120, learning_rate=3e-3), place=HERE,
        folder=tmp_path, reading=READING,
    )  # fmt: skip
    assert gap() > before + 0.3


def test_a_saved_backbone_is_found_again_as_it_was(backbone: Backbone, tmp_path: Path) -> None:
    backbone.save(tmp_path / "saved")
    again = open_backbone(str(tmp_path / "saved"), "masked")
    assert again.pooling == backbone.pooling
    assert again.special == backbone.special
    for (name, a), (_, b) in zip(
        backbone.model.named_parameters(), again.model.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name


def test_wishes_that_make_no_sense_are_told() -> None:
    with pytest.raises(InvalidInput, match="not all 0"):
        Weights(masked=0)
    with pytest.raises(InvalidInput, match="reads on"):
        Weights(causal=1.0)
    with pytest.raises(InvalidInput, match="at least 0"):
        Weights(masked=-1)
