"""Neighbours among the whole catalogue: what a batch holds, what is compared, and that it teaches."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, Special, open_backbone
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.objectives.neighbours import NeighbourFeed, Neighbours, neighbour_counts
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import pieces
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.tiny_bert import PIECES, WORDS, save_tiny_bert

SPECIAL = Special(first=2, last=3, pad=0, mask=4, vocabulary=len(PIECES), all=(0, 1, 2, 3, 4))


def plain_tokens(n: int) -> Tokens:
    """Item i is a text of 1 + i % 3 tokens, all of them 10 + i."""
    lengths = [1 + i % 3 for i in range(n)]
    ids = np.repeat(np.arange(10, 10 + n), lengths).astype(np.uint32)
    return Tokens(ids, np.ones(len(ids), np.uint8), np.concatenate([[0], np.cumsum(lengths)]))


def pairs(*told: tuple[int, int]) -> ItemPairs:
    found = np.array(told, dtype=np.int64).reshape(-1, 2)
    return ItemPairs(found[:, 0], found[:, 1])


def feed(n: int, given: ItemPairs, *, rows: int = 8, most: int = 100) -> NeighbourFeed:
    return NeighbourFeed.of(plain_tokens(n), given, SPECIAL, max_tokens=16, rows=rows, most=most)


def test_neighbours_are_counted_both_ways_and_nothing_is_its_own() -> None:
    counts = neighbour_counts(pairs((0, 1), (1, 0), (0, 2), (3, 3)), 4).toarray()
    np.testing.assert_array_equal(counts, [[0, 2, 1, 0], [2, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def test_a_small_catalogue_is_compared_with_whole() -> None:
    batch = feed(5, pairs((0, 1), (0, 1), (1, 4))).batch(0)
    assert sorted(batch["rows"].tolist()) == [0, 1, 4]  # 2 and 3 were taken with nothing
    np.testing.assert_array_equal(batch["columns"], np.arange(5))
    np.testing.assert_array_equal(batch["places"], batch["rows"])
    wanted = {0: [0, 2, 0, 0, 0], 1: [2, 0, 0, 0, 1], 4: [0, 1, 0, 0, 0]}
    for row, counts in zip(batch["rows"].tolist(), batch["wanted"], strict=True):
        np.testing.assert_array_equal(counts, wanted[row])
    assert not batch["shift"].any()
    np.testing.assert_array_equal(batch["totals"], [2, 3, 0, 0, 1])
    assert batch["ids"][batch["rows"].tolist().index(1)].tolist()[:4] == [2, 11, 11, 3]


def test_of_a_large_catalogue_all_neighbours_are_there_and_drawn_ones_stand_for_the_rest() -> None:
    given = pairs(*[(i, (i + 1) % 200) for i in range(200)])
    some = feed(200, given, rows=4, most=40)
    batch = some.batch(3)
    columns = batch["columns"].tolist()
    assert len(columns) == len(set(columns)) == 40
    sure = set(batch["rows"].tolist())
    for row in batch["rows"].tolist():
        sure |= {(row + 1) % 200, (row - 1) % 200}
    assert sure <= set(columns)
    assert [columns[place] for place in batch["places"]] == batch["rows"].tolist()
    for column, shift in zip(columns, batch["shift"].tolist(), strict=True):
        assert shift == pytest.approx(0 if column in sure else math.log((200 - len(sure)) / (40 - len(sure))))
    assert batch["wanted"].sum() == 2 * len(batch["rows"])
    again = some.batch(3)
    assert all(np.array_equal(again[name], batch[name]) for name in batch)
    assert some.batch(4)["columns"].tolist() != columns


def test_a_batch_is_cut_along_its_items_alone() -> None:
    some = feed(5, pairs((0, 1), (0, 1), (1, 4)))
    batch = some.batch(0)
    parts = pieces(some, batch, 3)
    assert [len(part.batch["rows"]) for part in parts] == [1, 1, 1]
    for name in ("ids", "rows", "places", "wanted"):
        np.testing.assert_array_equal(np.concatenate([part.batch[name] for part in parts]), batch[name])
    for name in ("columns", "totals", "shift"):
        assert all(np.array_equal(part.batch[name], batch[name]) for part in parts)


def test_no_pair_is_told() -> None:
    with pytest.raises(InvalidInput, match="no item was taken with any other"):
        feed(5, pairs())
    with pytest.raises(InvalidInput, match="no item was taken with any other"):
        feed(5, pairs((2, 2)))
    with pytest.raises(InvalidInput, match="temperature"):
        Neighbours(None, "mean", 3, 4, temperature=0.0)


class Fixed(torch.nn.Module):
    """A transformer whose every token has the vector of its id."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        class Out:
            last_hidden_state = self.table[input_ids]

        return Out()


def whole_loss(table: torch.Tensor, counts: torch.Tensor, temperature: float) -> torch.Tensor:
    """The mean over items with neighbours of the cross-entropy among all other items, all vectors fresh."""
    vectors = torch.nn.functional.normalize(table, dim=1)
    scores = (vectors @ vectors.T / temperature).fill_diagonal_(-torch.inf)
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    losses = -(shares * scores.log_softmax(1).nan_to_num(neginf=0.0)).sum(1)
    return losses.sum() / (counts.sum(1) > 0).sum()


def test_with_a_fresh_memory_batches_have_the_gradient_of_the_whole_catalogue() -> None:
    torch.manual_seed(0)
    n, temperature = 9, 0.4
    rng = np.random.default_rng(0)
    told = pairs(*rng.integers(0, 8, (30, 2)).tolist())  # item 8 has no neighbour and is still compared with
    some = feed(n, told, rows=3)
    table = torch.randn(10 + n, 4)
    counts = torch.from_numpy(some.counts.toarray())
    whole = table[10:].clone().requires_grad_()
    wanted = whole_loss(whole, counts, temperature)
    wanted.backward()  # type: ignore[no-untyped-call]

    objective = Neighbours(Fixed(table.clone()), "cls", n, 4, temperature=temperature)
    fresh = torch.nn.functional.normalize(table[10:], dim=1)
    scores = (fresh @ fresh.T / temperature).fill_diagonal_(-torch.inf)
    objective.memory.copy_(fresh)
    objective.sizes.copy_(scores.logsumexp(1) - math.log(n - 1))
    objective.known.fill_(True)
    objective.eval()  # so that the memory stays what it is
    total, items = 0.0, 0
    for number in range(some.order.per_epoch):
        batch = some.batch(number)
        batch["ids"] = batch["ids"][:, 1:]  # the first token is the item's own
        loss = objective(**{name: torch.from_numpy(array) for name, array in batch.items()})
        share = len(batch["rows"]) / len(some.queries)
        (share * loss).backward()
        total, items = total + share * loss.item(), items + len(batch["rows"])
    assert items == 8
    assert total == pytest.approx(wanted.item(), rel=1e-5)
    slopes, exact = objective.base.table.grad, whole.grad
    assert exact is not None
    torch.testing.assert_close(slopes[10:18], exact[:8], rtol=1e-4, atol=1e-6)


def test_what_was_read_is_remembered_and_only_while_it_learns() -> None:
    torch.manual_seed(0)
    n = 6
    objective = Neighbours(Fixed(torch.randn(10 + n, 3)), "cls", n, 3, temperature=0.5)
    objective.known[[0, 3, 5]] = True
    objective.memory[[0, 3, 5]] = torch.nn.functional.normalize(torch.randn(3, 3), dim=1)
    old = objective.memory.clone()
    wanted = torch.zeros(2, n)
    wanted[0, 3], wanted[0, 4], wanted[1, 1] = 3.0, 5.0, 2.0  # item 4 was not read yet
    given = (
        torch.tensor([[11], [12]]), torch.ones(2, 1), torch.tensor([1, 2]), torch.arange(n), torch.tensor([1, 2]),
        wanted, torch.ones(n), torch.zeros(n),
    )  # fmt: skip
    fresh = torch.nn.functional.normalize(objective.base.table[[11, 12]], dim=1).detach()
    scores = {j: fresh[0] @ old[j] / 0.5 for j in (0, 3, 5)} | {2: fresh[0] @ fresh[1] / 0.5}
    norm = torch.logsumexp(torch.stack(list(scores.values())), 0)
    other = torch.stack([fresh[1] @ old[j] / 0.5 for j in (0, 3, 5)] + [fresh[1] @ fresh[0] / 0.5])
    expected = (norm - scores[3] + other.logsumexp(0) - other[3]) / 2
    objective.eval()
    torch.testing.assert_close(objective(*given), expected)
    torch.testing.assert_close(objective.memory, old)
    objective.train()
    torch.testing.assert_close(objective(*given), expected)
    torch.testing.assert_close(objective.memory[[1, 2]], fresh)
    assert objective.known.tolist() == [True, True, True, True, False, True]
    torch.testing.assert_close(objective.sizes[1], norm - math.log(4))


def test_items_that_know_none_of_their_neighbours_yet_teach_nothing() -> None:
    objective = Neighbours(Fixed(torch.randn(16, 3)), "cls", 6, 3)
    wanted = torch.zeros(1, 6)
    wanted[0, 4] = 1.0
    loss = objective(
        torch.tensor([[11]]), torch.ones(1, 1), torch.tensor([1]), torch.arange(6), torch.tensor([1]), wanted,
        torch.ones(6), torch.zeros(6),
    )  # fmt: skip
    assert loss.item() == 0


@cache
def checkpoint(home: Path) -> Path:
    return save_tiny_bert(home)


def taught(
    home: Path, folder: Path, *, stop: int | None = None, steps: int = 200, dropout: float = 0.0
) -> tuple[Backbone, Neighbours]:
    backbone = open_backbone(str(checkpoint(home)), "encoder", dropout=dropout)
    tokens = tokens_of(WORDS, backbone.fast_tokenizer)
    given = pairs(*[(i, i + 1) for i in range(0, len(WORDS) - 1, 2)])  # each has one partner
    objective = Neighbours(backbone.model.base_model, backbone.pooling, len(WORDS), backbone.dim)
    found = NeighbourFeed.of(tokens, given, backbone.special, max_tokens=16, rows=6)

    def progress(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    schedule = Schedule(steps, learning_rate=1e-3, checkpoint_every=10)
    place = Place(torch.device("cpu"), torch.float32)
    train([Term("n", objective, found)], schedule, place=place, folder=folder, key="", progress=progress)
    return backbone, objective


@pytest.mark.slow
def test_partners_come_to_lie_together(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    _, objective = taught(tmp_path_factory.mktemp("bert"), tmp_path)
    scores = (objective.memory @ objective.memory.T).fill_diagonal_(-2)
    even = len(WORDS) // 2 * 2
    assert (scores[:even].argmax(1) == torch.arange(even) ^ 1).float().mean() > 0.9


@pytest.mark.slow
def test_the_memory_is_part_of_a_checkpoint(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    home = tmp_path_factory.mktemp("bert")
    backbone, objective = taught(home, tmp_path / "a", steps=30, dropout=0.1)
    with pytest.raises(KeyboardInterrupt):
        taught(home, tmp_path / "b", stop=15, steps=30, dropout=0.1)
    again, resumed = taught(home, tmp_path / "b", steps=30, dropout=0.1)
    torch.testing.assert_close(resumed.memory, objective.memory, rtol=0, atol=0)
    both = zip(backbone.model.named_parameters(), again.model.parameters(), strict=True)
    for (name, one), other in both:
        assert torch.equal(one, other), name
