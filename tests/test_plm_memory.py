"""Batches that do not fit: halved they teach the same, it is said, and a kill changes nothing about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.augment import noisy_reading
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.distill.imitate import TextFeed
from honeyguide.plm.heads.head import Feeding, Reader
from honeyguide.plm.histories import Histories, ViewFeed
from honeyguide.plm.objectives.causal import CausalFeed
from honeyguide.plm.objectives.contrastive import PairFeed
from honeyguide.plm.objectives.following import Following, FollowingFeed
from honeyguide.plm.objectives.masked import MaskedFeed, MaskedLanguage
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.plm.train.feeds import Batch, Feed, cut, most_pieces, pieces, rows_of, tokens_in
from honeyguide.plm.train.loop import Outcome, train
from honeyguide.plm.train.memory import is_out_of_memory
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.gpu import needs_cuda
from tests.test_plm_loop import HERE, Killed, Line, Points, same, weights
from tests.tiny_bert import WORDS, save_tiny_bert
from tests.tiny_tasks import head, task

TEXTS = [" ".join(WORDS[(s + i) % len(WORDS)] for i in range(1 + s % 6)) for s in range(23)]
HEADS = ["classification", "multi-label", "regression", "tags", "ranking"]


class Small(Line):
    """A line on a device that holds `room` points at once, from the pass `since` on."""

    def __init__(self, room: int, *, dropout: float = 0.3, since: int = 0) -> None:
        super().__init__()
        self.drop.p, self.room, self.since, self.passes = dropout, room, since, 0

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.passes > self.since and len(x) > self.room:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a capacity"
            )
        return super().forward(x, y)


class Fewer:
    """`rows` points a batch."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def batch(self, number: int) -> Batch:
        return {name: column[: self.rows] for name, column in Points().batch(number).items()}


class Halves:
    """The points of each batch in two."""

    def batch(self, number: int) -> Batch:
        part = slice(8 * (number % 2), 8 * (number % 2) + 8)
        return {name: column[part] for name, column in Points().batch(number // 2).items()}


def run(module: Line, folder: Path, feed: Feed | None = None, **options: Any) -> Outcome:
    told: dict[str, Any] = {"steps": 12, "learning_rate": 1e-2, "checkpoint_every": 4, "seed": 5}
    told |= {name: options.pop(name) for name in list(options) if name in Schedule.__dataclass_fields__}
    term = Term("line", module, feed or Points())
    return train([term], Schedule(**told), **{"place": HERE, "folder": folder, "key": "k", **options})


def close(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_batch_that_does_not_fit_is_learned_from_in_halves(tmp_path: Path) -> None:
    """Sixteen points where eight fit weigh what two batches of eight weigh, and what sixteen would have weighed."""
    halved, two, whole = Small(8, dropout=0.0), Small(8, dropout=0.0), Small(16, dropout=0.0)
    outcome = run(halved, tmp_path / "halved")
    assert run(two, tmp_path / "two", Halves(), accumulate=2).halvings == 0
    assert run(whole, tmp_path / "whole").halvings == 0
    close(halved, two)
    close(halved, whole)
    assert outcome.halvings == 1
    assert [figures["halvings"] for _, figures in outcome.history] == [1] * 12


@pytest.mark.parametrize(("rows", "room", "halvings"), [(16, 3, 3), (5, 3, 1), (7, 1, 3), (13, 4, 2)])
def test_uneven_parts_count_by_how_many_points_they_have(
    tmp_path: Path, rows: int, room: int, halvings: int
) -> None:
    halved, whole = Small(room, dropout=0.0), Small(rows, dropout=0.0)
    assert run(halved, tmp_path / "halved", Fewer(rows)).halvings == halvings
    run(whole, tmp_path / "whole", Fewer(rows))
    close(halved, whole)


def test_it_says_which_batch_it_was_and_from_which_step_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory is short from the fifth pass on; with two batches a step that is the first one of the third step."""
    with caplog.at_level(logging.WARNING, "honeyguide"):
        outcome = run(Small(8, since=4), tmp_path, accumulate=2)
    assert [record.getMessage() for record in caplog.records] == [
        "batch 4 does not fit into memory (CUDA out of memory. Tried to allocate 20.00 MiB). From step 3 on every "
        "batch is passed over in 2 parts"
    ]
    assert ["halvings" in figures for _, figures in outcome.history] == [False] * 2 + [True] * 10


def test_gradients_made_before_memory_ran_out_are_dropped(tmp_path: Path) -> None:
    late, never = Small(8, dropout=0.0, since=1), Small(16, dropout=0.0)
    assert run(late, tmp_path / "late", accumulate=2, steps=1).halvings == 1
    run(never, tmp_path / "never", accumulate=2, steps=1)
    close(late, never)


@pytest.mark.parametrize("at", [2, 4, 5, 9])
def test_a_halved_job_that_is_killed_ends_at_the_weights_of_one_that_never_stopped(
    tmp_path: Path, at: int
) -> None:
    """Memory is short in the fourth step; who goes on later never runs out of it, and is halved yet."""
    whole = Small(8, since=3)
    outcome = run(whole, tmp_path / "whole")

    def kill(done: int, total: int) -> None:
        if done == at:
            raise Killed

    with pytest.raises(Killed):
        run(Small(8, since=3), tmp_path / "broken", progress=kill)
    resumed = Small(16) if at > 3 else Small(8, since=3)
    again = run(resumed, tmp_path / "broken")
    assert same(weights(resumed), weights(whole))
    assert again.history == outcome.history
    assert (again.halvings, outcome.halvings) == (1, 1)


def test_where_not_even_one_example_fits_it_says_what_to_do(tmp_path: Path) -> None:
    module = Small(0)
    before = weights(module)
    with pytest.raises(
        InvalidInput, match=r"batch 0 does not fit .* lower max_tokens, or take a smaller model"
    ):
        run(module, tmp_path)
    assert module.passes == 5  # of 16, 8, 4, 2 points and one
    assert same(weights(module), before)


def test_what_adamw_needs_cannot_be_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    for where, name, passes in ((torch.optim.AdamW, "step", 1), (torch, "zeros_like", 0)):
        module = Small(16)
        with monkeypatch.context() as patched:
            patched.setattr(where, name, full)
            with pytest.raises(InvalidInput, match=r"AdamW needs .* does not fit .* smaller model"):
                run(module, tmp_path)
        assert module.passes == passes


@pytest.mark.parametrize("broken", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("x")])
def test_other_errors_pass_through_unchanged(tmp_path: Path, broken: Exception) -> None:
    class Broken(Line):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            raise broken

    with pytest.raises(type(broken)) as caught:
        run(Broken(), tmp_path)
    assert caught.value is broken


def test_a_full_processor_is_told_from_a_broken_one() -> None:
    with pytest.raises(RuntimeError) as full:
        torch.empty(1 << 45)  # 128 TiB: no process can address that much
    assert is_out_of_memory(full.value)
    with pytest.raises(MemoryError) as fuller:
        np.empty(1 << 55)
    assert is_out_of_memory(fuller.value)
    with pytest.raises(RuntimeError) as broken:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_out_of_memory(broken.value)


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Place]:
    """A place that takes itself for the first of two; the group has only this process, so nothing waits."""
    meeting = f"file://{tmp_path}/meeting"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    yield replace(HERE, world=2)
    torch.distributed.destroy_process_group()


def test_several_processes_stop_together_with_a_clear_error(tmp_path: Path, several: Place) -> None:
    with pytest.raises(InvalidInput, match=r"Several processes do not halve .* accumulate"):
        run(Small(8), tmp_path / "new", place=several)
    run(Small(8), tmp_path / "old", steps=4)
    with pytest.raises(InvalidInput, match="Several processes"):
        run(Small(16), tmp_path / "old", steps=8, place=several)


# feeds: each knows how its batches are cut


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(str(save_tiny_bert(tmp_path_factory.mktemp("bert"))), "masked", dropout=0.0)


@pytest.fixture(scope="module")
def feeds(backbone: Backbone) -> dict[str, Feed]:
    """One of each; that of hidden words has a text without any."""
    tokens = tokens_of([*TEXTS[:-1], ""], backbone.fast_tokenizer)
    feeding = Feeding.of(backbone, max_tokens=12, batch_tokens=64, seed=1)
    first, second = np.arange(20), np.arange(3, 23)
    masked = MaskedFeed.of(tokens, backbone.special, max_tokens=12, batch_tokens=96)
    found: dict[str, Feed] = {
        "masked": masked,
        "noisy": noisy_reading([*TEXTS[:-1], ""], backbone.fast_tokenizer)(masked),
        "following": FollowingFeed.of(
            tokens, first, second, backbone.special, max_tokens=20, batch_tokens=160
        ),
        "pairs": PairFeed.of(tokens, first, second, backbone.special, max_tokens=12, rows=7),
        "causal": CausalFeed(tokens, backbone.special.last, 6, 5),
        "texts": TextFeed.of(tokens, feeding),
        "views": ViewFeed.of(
            Histories(np.arange(30) % 9, np.arange(0, 31, 3)), limit=4, hidden=9, pad=10, rows=6
        ),
    }
    return found | {kind: head(kind, task(kind, 120, 0)).feed(task(kind, 120, 0), feeding) for kind in HEADS}


NAMES = ["masked", "noisy", "following", "pairs", "causal", "texts", "views", *HEADS]


@pytest.mark.parametrize("name", NAMES)
def test_the_pieces_of_a_batch_are_its_examples(feeds: dict[str, Feed], name: str) -> None:
    """The same texts with the same words hidden, in the same order; every piece can be read by itself."""
    feed = feeds[name]
    for number in range(4):
        batch = feed.batch(number)
        n, least = rows_of(batch), 2 if name in ("pairs", "views") else 1
        assert most_pieces(feed, batch) == max(1, n // least)
        for count in (1, 2, 4, 64):
            parts = [piece.batch for piece in pieces(feed, batch, count)]
            sizes = [rows_of(part) for part in parts]
            assert max(sizes) - min(sizes) <= 1 or "targets" in batch  # what asks for nothing is left out
            assert all(part.keys() == batch.keys() for part in parts)
            asked = "targets" if "targets" in batch else next(iter(batch))
            together = np.concatenate([part[asked] for part in parts])
            assert np.array_equal(together, batch[asked])
            assert sum(piece.share for piece in pieces(feed, batch, count)) == pytest.approx(1)
        whole = cut(feed, batch, 0, n)
        assert all(np.array_equal(whole[array], batch[array]) for array in batch)
        assert sum(tokens_in(cut(feed, batch, row, row + 1)) for row in range(n)) == tokens_in(batch)


def test_hidden_places_move_with_their_texts(feeds: dict[str, Feed]) -> None:
    feed = feeds["masked"]
    batch = feed.batch(0)
    assert rows_of(batch) > 2
    part = cut(feed, batch, 1, 3)
    width = batch["ids"].shape[1]
    inside = (batch["places"] // width == 1) | (batch["places"] // width == 2)
    assert np.array_equal(part["targets"], batch["targets"][inside])
    assert np.array_equal(part["places"], batch["places"][inside] - width)
    assert np.array_equal(
        part["ids"].reshape(-1)[part["places"]], batch["ids"].reshape(-1)[batch["places"]][inside]
    )


def test_a_text_without_a_word_to_guess_is_no_piece(backbone: Backbone) -> None:
    """Its loss would be the mean over nothing."""
    tokens = tokens_of(["milk", ""], backbone.fast_tokenizer)
    feed = MaskedFeed.of(tokens, backbone.special, max_tokens=12)
    (piece,) = pieces(feed, feed.batch(0), 2)
    assert rows_of(piece.batch) == 1
    assert len(piece.batch["targets"]) == 1
    assert piece.share == 1.0


def test_half_a_contrastive_batch_has_half_the_negatives(feeds: dict[str, Feed]) -> None:
    feed = feeds["pairs"]
    batch = feed.batch(0)
    part = cut(feed, batch, 2, 5)
    assert np.array_equal(part["banned"], batch["banned"][2:5, 2:5])
    assert np.array_equal(part["log_q"], batch["log_q"][2:5])
    # never a piece of one pair, which has nothing to be told from
    batch = next(one for one in map(feed.batch, range(9)) if rows_of(one) == 7)
    assert [rows_of(piece.batch) for piece in pieces(feed, batch, 8)] == [2, 2, 3]


def test_queries_keep_their_items(feeds: dict[str, Feed]) -> None:
    feed = feeds["ranking"]
    batch = feed.batch(0)
    assert rows_of(batch) > 1
    part = cut(feed, batch, 1, 2)
    own = batch["owner"] == 1
    assert set(part["owner"].tolist()) == {0}
    assert np.array_equal(part["item_ids"], batch["item_ids"][own])
    assert np.array_equal(part["relevance"], batch["relevance"][own])


def gradient(module: torch.nn.Module, parts: list[tuple[Batch, float]]) -> tuple[float, list[torch.Tensor]]:
    """The loss and gradients that shares of losses sum up to."""
    module.zero_grad()
    total = 0.0
    for batch, share in parts:
        loss = share * module(**{name: torch.from_numpy(array) for name, array in batch.items()})
        loss.backward()
        total += float(loss.detach())
    return total, [p.grad.clone() for p in module.parameters() if p.grad is not None]


class Told(torch.nn.Module):
    """A head on the tiny model as an objective, which says something and drops nothing."""

    def __init__(self, backbone: Backbone, kind: str) -> None:
        super().__init__()
        self.reader, self.head = Reader(backbone.model.base_model, "mean"), head(kind, task(kind, 120, 0))
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.normal_(0, 0.2)

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        return self.head.loss(self.reader, batch)


def objective(backbone: Backbone, name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if name in HEADS:
        return Told(backbone, name).eval()
    if name == "following":
        return Following(backbone.model.base_model).eval()
    return MaskedLanguage(backbone.model).eval()


@pytest.mark.parametrize("name", ["masked", "noisy", "following", *HEADS])
@pytest.mark.parametrize("count", [2, 5])
def test_pieces_have_the_gradient_of_the_whole(
    backbone: Backbone, feeds: dict[str, Feed], name: str, count: int
) -> None:
    """Hidden words count each alike, in however many pieces; the text without a word is left out."""
    feed, module = feeds[name], objective(backbone, name)
    for number in range(2):
        batch = feed.batch(number)
        parts = [(piece.batch, piece.share) for piece in pieces(feed, batch, count)]
        assert len(parts) > 1
        (loss, slopes), (wanted, wanted_slopes) = gradient(module, parts), gradient(module, [(batch, 1.0)])
        assert loss == pytest.approx(wanted, rel=1e-5)
        for slope, other in zip(slopes, wanted_slopes, strict=True):
            torch.testing.assert_close(slope, other, rtol=1e-4, atol=1e-6)


def test_objectives_of_different_sizes_are_halved_together(
    backbone: Backbone, feeds: dict[str, Feed], tmp_path: Path
) -> None:
    """The words' batch has more pieces than the pairs' one; figures are those of whole batches all the same."""
    found = []
    for room in (100, 4):

        class Narrow(torch.nn.Module):
            def __init__(self, module: torch.nn.Module, room: int = room) -> None:
                super().__init__()
                self.module, self.room = module, room

            def forward(self, **batch: torch.Tensor) -> torch.Tensor:
                if len(batch["ids"]) > self.room:
                    raise MemoryError
                told: torch.Tensor = self.module(**batch)
                return told

        terms = [
            Term("words", Narrow(objective(backbone, "masked")), feeds["masked"]),
            Term("follow", Narrow(objective(backbone, "following")), feeds["following"], 0.5),
        ]
        outcome = train(
            terms, Schedule(2, learning_rate=1e-9), place=HERE, folder=tmp_path / str(room), key=""
        )
        found.append(outcome)
    assert found[1].halvings > 0
    for (_, one), (_, other) in zip(found[0].history, found[1].history, strict=True):
        assert {name: other[name] for name in one} == pytest.approx(one, rel=1e-3)
        assert one["loss"] == pytest.approx(one["words"] + 0.5 * one["follow"])


def test_batches_that_nobody_can_cut_are_told() -> None:
    class Odd:
        def batch(self, number: int) -> Batch:
            return {**Points().batch(number), "scale": np.ones(3)}

    with pytest.raises(InvalidInput, match="Odd cannot be cut, as 'scale'"):
        cut(Odd(), Odd().batch(0), 0, 8)


@needs_cuda
def test_a_full_gpu_halves_the_batch(tmp_path: Path) -> None:
    """Each point takes a twelfth of the device: sixteen cannot be there at once, eight can."""
    place = find_place("cuda")
    share = torch.cuda.get_device_properties(place.device).total_memory // 12

    class Hungry(Line):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            torch.empty(len(x) * share, dtype=torch.uint8, device=x.device)
            return super().forward(x, y)

    outcome = run(Hungry(), tmp_path, place=place)
    assert (outcome.steps, outcome.halvings) == (12, 1)
