"""The sequence model: what it learns, and that what serves says what was learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.interests.sequence.histories import AT_ONCE, FIRST, GAPS, SOON, Sequences, gap_classes
from honeyguide.interests.sequence.network import SequenceNetwork, Shape
from honeyguide.interests.sequence.ranking import best_of, ranks_of
from honeyguide.interests.train.feed import SequenceFeed
from honeyguide.interests.train.learn import HeldOut, LearnedSequences, learn_sequences, snapshot
from honeyguide.interests.train.losses import loss_named
from honeyguide.interests.train.module import Dropout, SequenceModule
from honeyguide.interests.train.plan import SequencePlan
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Vectors

CPU = Place(torch.device("cpu"), torch.float32)
ITEMS, QUERIES = 40, 3
SMALL = SequencePlan(
    shape=Shape(width=16, blocks=2, heads=2, longest=6), epochs=3, negatives=16, batch=16, weight_decay=0.0
)


def walks(users: int = 120, seed: int = 0) -> Sequences:
    """Users who walk through the items one by one from anywhere: what follows i is i + 1."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 12, users)
    first = rng.integers(0, ITEMS, users)
    items = np.concatenate([(a + np.arange(n)) % ITEMS for a, n in zip(first, lengths, strict=True)])
    return Sequences.of_items(items, np.concatenate([[0], np.cumsum(lengths)]))


def content(seed: int = 1) -> Vectors:
    return np.random.default_rng(seed).normal(size=(ITEMS + QUERIES, 8)).astype(np.float32)


def learned(folder: Path, plan: SequencePlan, held: bool = True) -> LearnedSequences:
    sequences = walks()
    held_out = HeldOut.last_of(sequences, ITEMS) if held else None
    known = sequences.without_last(1) if held else sequences
    return learn_sequences(content(), ITEMS, known, held_out, plan, place=CPU, folder=folder)


@pytest.mark.parametrize(
    "loss", ["softmax", *(pytest.param(loss, marks=pytest.mark.slow) for loss in ("gbce", "contrastive"))]
)
def test_it_learns_what_follows_and_beats_chance_by_far(tmp_path: Path, loss: str) -> None:
    plan = replace(SMALL, epochs=40, loss=loss, patience=40, dropout=0.0, learning_rate=1e-2)  # type: ignore[arg-type]
    found = learned(tmp_path, plan)
    tries = walks(users=60, seed=9)
    ranks = ranks_of(found.network, tries.without_last(1), tries.from_last(0))
    assert (ranks < 3).mean() > 0.8  # by chance: 3 of some 34 items that are left
    assert max(figures["ndcg"] for _, figures in found.curve) > found.curve[0][1]["ndcg"]


@pytest.mark.parametrize("loss", ["softmax", "contrastive"])
@pytest.mark.parametrize("shrink", [0.0, 5.0])
def test_what_serves_scores_as_what_was_learned(loss: str, shrink: float) -> None:
    plan = replace(SMALL, loss=loss, shrink=shrink)  # type: ignore[arg-type]
    taken = np.arange(ITEMS, dtype=np.float64)
    torch.manual_seed(0)
    module = SequenceModule(content(), taken, plan, CPU.device)
    with torch.no_grad():
        module.bias.normal_()
        module.nobody.normal_()
    network = snapshot(module, 1.0)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, ITEMS + QUERIES, (5, 6))
    kinds, gaps = rng.integers(0, 7, (5, 6)), rng.integers(0, GAPS, (5, 6))
    ahead = rng.integers(0, GAPS, 5)
    coming = np.concatenate([np.zeros((5, 1), dtype=np.int64), gaps[:, 1:], ahead[:, None]], axis=1)
    with torch.no_grad():
        given = [torch.from_numpy(array) for array in (tokens, kinds, gaps, coming)]
        read = module.read(module.vectors(given[0]), *given[1:])[:, -1]
        if loss == "contrastive":
            read = torch.nn.functional.normalize(read, dim=-1) / plan.temperature
        wanted = read @ module.vectors(torch.arange(ITEMS)).T + module.biases()
    served = network.scores(network.hidden(tokens, kinds, gaps, ahead))
    assert served == pytest.approx(wanted.numpy(), abs=1e-4)


def test_what_comes_at_once_and_what_comes_after_a_week_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, late = rng.integers(0, 10, 400), rng.random(400) < 0.5
    items = np.stack([first, np.where(late, 10 + first, 20 + first)], axis=1).ravel()
    starts = np.arange(0, 801, 2)
    gaps = np.stack([np.zeros(400), np.where(late, 7, 1)], axis=1).ravel().astype(np.int8)
    sequences = Sequences(items, np.full(800, 4, dtype=np.int8), gaps, starts)
    plan = replace(SMALL, epochs=30, dropout=0.0, learning_rate=1e-2)
    network = learn_sequences(content(), ITEMS, sequences, None, plan, place=CPU, folder=tmp_path).network
    asked = sequences.without_last(1)
    ranks = ranks_of(network, asked, sequences.from_last(0))
    assert (ranks < 1).mean() > 0.9
    unasked = replace(asked, ahead=np.zeros(400, dtype=np.int8))
    assert (ranks_of(network, unasked, sequences.from_last(0)) < 2).mean() > 0.9  # either is likely then


def test_an_item_that_was_never_taken_is_all_content() -> None:
    taken = np.zeros(ITEMS)
    taken[1:] = 5
    module = SequenceModule(content(), taken, replace(SMALL, shrink=5.0), CPU.device)
    network = snapshot(module, 1.0)
    assert network.vectors[0] == pytest.approx(network.embed(content()[:1])[0], abs=1e-6)
    half = network.embed(content()[1:2])[0] + 0.5 * module.own.weight[1].detach().numpy()
    assert network.vectors[1] == pytest.approx(half, abs=1e-6)


def test_a_query_is_read_and_never_asked_for(tmp_path: Path) -> None:
    sequences = Sequences.of_items(np.array([0, ITEMS, 1, 2, ITEMS + 1]), np.array([0, 3, 5]))
    feed = SequenceFeed.of(sequences, ITEMS, longest=6, negatives=8, batch=2)
    batch = feed.batch(0)
    assert sorted(batch["targets"].tolist()) == [0, 1, 2]
    assert set(batch["negatives"].tolist()) == {0, 1, 2}  # items that nobody took are no negatives
    found = learn_sequences(content(), ITEMS, sequences, None, SMALL, place=CPU, folder=tmp_path)
    rows, _ = best_of(found.network, sequences, 5)
    assert rows.max() < ITEMS


def test_a_batch_reads_what_came_before_what_it_asks_for() -> None:
    sequences = Sequences.of_items(np.array([5, 6, 7, 8]), np.array([0, 4]))
    batch = SequenceFeed.of(sequences, ITEMS, longest=6, negatives=8, batch=2).batch(0)
    assert batch["tokens"].tolist() == [[5, 6, 7]]
    assert batch["places"].tolist() == [0, 1, 2, 3]  # nobody stands at place 0
    assert batch["targets"].tolist() == [5, 6, 7, 8]
    assert batch["ahead"].tolist() == [[FIRST, SOON, SOON, SOON]]


def test_long_histories_are_read_in_windows_and_every_event_is_asked_for_once() -> None:
    items = np.arange(20)
    sequences = Sequences.of_items(items, np.array([0, 20]))
    feed = SequenceFeed.of(sequences, ITEMS, longest=6, negatives=8, batch=1)
    asked = np.concatenate([feed.batch(number)["targets"] for number in range(feed.per_epoch)])
    assert sorted(asked.tolist()) == items.tolist()


def test_a_batch_in_pieces_is_the_batch() -> None:
    feed = SequenceFeed.of(walks(), ITEMS, longest=6, negatives=8, batch=8)
    batch = feed.batch(3)
    module = SequenceModule(content(), np.ones(ITEMS), replace(SMALL, dropout=0.0), CPU.device)
    module.eval()  # what is not told is drawn

    def loss(part: Batch) -> float:
        return float(module(**{name: torch.from_numpy(array) for name, array in part.items()}).item())

    parts = [feed.cut(batch, a, b) for a, b in ((0, 3), (3, len(batch["tokens"])))]
    asked = [len(part["targets"]) for part in parts]
    assert sum(asked) == len(batch["targets"])
    mean = sum(n * loss(part) for n, part in zip(asked, parts, strict=True)) / sum(asked)
    assert mean == pytest.approx(loss(batch), rel=1e-5)


def test_an_interrupted_training_ends_at_the_same_network(tmp_path: Path) -> None:
    whole = learned(tmp_path / "whole", SMALL)
    sequences = walks()
    stops = iter(range(13))

    def stop(done: int, total: int) -> None:
        if next(stops, None) is None and done < total:
            raise KeyboardInterrupt

    arguments = (content(), ITEMS, sequences.without_last(1), HeldOut.last_of(sequences, ITEMS), SMALL)
    with pytest.raises(KeyboardInterrupt):
        learn_sequences(*arguments, place=CPU, folder=tmp_path / "cut", progress=stop)
    again = learn_sequences(*arguments, place=CPU, folder=tmp_path / "cut")
    assert np.array_equal(again.network.vectors, whole.network.vectors)
    assert again.curve == whole.curve


def test_reading_many_users_is_reading_each(tmp_path: Path) -> None:
    network = learned(tmp_path, SMALL, held=False).network
    sequences = walks(users=20, seed=4)
    nobody = Sequences.of_items(np.empty(0, dtype=np.int64), np.array([0, 0]))
    together = network.read(sequences)
    for user in range(20):
        one = network.read(sequences.of_users(np.array([user])))[0]
        assert one == pytest.approx(together[user], abs=1e-5)
    assert np.isfinite(network.read(nobody)).all()


def test_what_was_had_before_is_not_found_again(tmp_path: Path) -> None:
    network = learned(tmp_path, SMALL, held=False).network
    sequences = walks(users=15, seed=5)
    rows, scores = best_of(network, sequences, 8)
    assert (np.diff(scores, axis=1) <= 0).all()
    for user in range(15):
        had = sequences.of_users(np.array([user])).tokens
        assert not np.isin(rows[user], had).any()
    targets = rows[:, 2]
    assert ranks_of(network, sequences, targets).tolist() == [2] * 15


def test_the_state_is_the_network_and_a_missing_part_is_told(tmp_path: Path) -> None:
    network = learned(tmp_path, SMALL, held=False).network
    arrays, meta = network.state()
    again = SequenceNetwork.from_state(arrays, meta)
    sequences = walks(users=5, seed=6)
    assert np.array_equal(again.read(sequences), network.read(sequences))
    older = arrays | {"gaps.weight": arrays["gaps.weight"][:-1]}
    with pytest.raises(DamagedArtifact, match="honeyguide fit"):
        SequenceNetwork.from_state(older, meta)
    del arrays["bias"]
    with pytest.raises(DamagedArtifact, match="honeyguide fit"):
        SequenceNetwork.from_state(arrays, meta)


def test_the_loss_of_all_items_is_cross_entropy() -> None:
    torch.manual_seed(0)
    read, table, bias = torch.randn(4, 8), torch.randn(10, 8), torch.randn(10)
    targets = torch.tensor([0, 3, 9, 3])
    loss = loss_named(replace(SMALL, negatives=10), 10)
    same = targets[:, None] == torch.arange(10)
    found = loss((read, table[targets], bias[targets]), table, bias, same)
    wanted = torch.nn.functional.cross_entropy(read @ table.T + bias, targets)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_the_loss_of_drawn_items_is_near_that_of_all() -> None:
    torch.manual_seed(0)
    read, table, bias = 0.3 * torch.randn(50, 8), torch.randn(2000, 8), torch.zeros(2000)
    targets = torch.randint(0, 2000, (50,))
    wanted = torch.nn.functional.cross_entropy(read @ table.T + bias, targets)
    loss = loss_named(replace(SMALL, negatives=200), 2000)
    found = []
    for _ in range(30):
        drawn = torch.randint(0, 2000, (200,))
        same = targets[:, None] == drawn
        found.append(float(loss((read, table[targets], bias[targets]), table[drawn], bias[drawn], same)))
    assert np.mean(found) == pytest.approx(float(wanted), rel=0.01)


def test_gaps_are_classes_of_the_time_since_the_event_before() -> None:
    assert gap_classes(np.array([0, 1, 60_000_000, 86_400_000_000])).tolist() == [AT_ONCE, SOON, 3, 6]
    sequences = Sequences.of_items(np.array([1, 2, 3]), np.array([0, 2, 3]))
    assert sequences.gaps.tolist() == [FIRST, SOON, FIRST]


def test_sequences_are_cut_and_chosen_by_user() -> None:
    sequences = Sequences.of_items(np.array([1, 2, 3, 4, 5, 6]), np.array([0, 3, 4, 6]))
    shorter = sequences.without_last(1)
    assert shorter.tokens.tolist() == [1, 2, 5]
    assert shorter.starts.tolist() == [0, 2, 2, 3]
    assert sequences.from_last(1).tolist() == [2, -1, 5]
    # how long it was until what was cut; nothing is left of one
    assert shorter.ahead.tolist() == [SOON, FIRST, SOON]
    turned = sequences.of_users(np.array([2, 0]))
    assert turned.tokens.tolist() == [5, 6, 1, 2, 3]
    assert turned.starts.tolist() == [0, 2, 5]


def test_a_basket_is_cut_off_whole() -> None:
    gaps = np.array([FIRST, 5, AT_ONCE, AT_ONCE, FIRST, AT_ONCE, FIRST, 3, 4], dtype=np.int8)
    tokens, kinds = np.arange(9), np.full(9, 4, dtype=np.int8)
    sequences = Sequences(tokens, kinds, gaps, np.array([0, 4, 6, 9, 9]))
    shorter = sequences.without_last_moment_of(np.array([0, 1, 3]))
    assert shorter.tokens.tolist() == [0, 6, 7, 8]
    assert shorter.lengths.tolist() == [1, 0, 3, 0]
    assert shorter.ahead.tolist() == [5, FIRST, FIRST, FIRST]


def test_bad_plans_and_empty_logs_are_refused(tmp_path: Path) -> None:
    nobody = Sequences.of_items(np.empty(0, dtype=np.int64), np.array([0, 0]))
    with pytest.raises(InvalidInput, match="import events"):
        learn_sequences(content(), ITEMS, nobody, None, SMALL, place=CPU, folder=tmp_path)
    with pytest.raises(InvalidInput, match="divide"):
        Shape(width=10, heads=3)
    with pytest.raises(InvalidInput, match="loss must be"):
        replace(SMALL, loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="at least 1"):
        replace(SMALL, epochs=0)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    drop, x = Dropout(0.4), torch.ones(1003, 101, requires_grad=True)
    torch.manual_seed(0)
    found = drop(x)
    assert (found == 0).float().mean().item() == pytest.approx(102 / 256, abs=0.01)
    assert found.mean().item() == pytest.approx(1.0, abs=0.02)
    assert found.max().item() == pytest.approx(256 / 154)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found.detach())
    # places of the same word are drawn apart, and the seed says which
    assert abs(np.corrcoef((found.detach() > 0).numpy()[:, :8].T)[np.triu_indices(8, 1)]).max() < 0.15
    torch.manual_seed(0)
    assert torch.equal(drop(x), found)
    assert torch.equal(drop.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
