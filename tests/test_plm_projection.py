"""A projection of vectors towards what users take together: what it computes, learns, and how it is served."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.export import EncoderFiles
from honeyguide.plm.files import CARD, GRAPH, TOKENIZER
from honeyguide.plm.forms import Form, encoder_of, store_encoder
from honeyguide.plm.objectives.neighbours import neighbour_counts
from honeyguide.plm.objectives.projection import ProjectionFeed, ProjectionObjective, ProjectionPlan
from honeyguide.plm.projecting import Projecting
from honeyguide.plm.projection import Projection, _snapshot, learn_projection, projected, recall
from honeyguide.plm.serving import open_encoder
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import pieces
from honeyguide.types import Vectors
from tests.tiny_bert import MAX_TOKENS, WORDS, save_tiny_bert, tiny_artifact

HERE = Place(torch.device("cpu"), torch.float32)
PLAN = ProjectionPlan(steps=120, hidden=32, items=64, look_every=20, dropout=0.0, learning_rate=3e-3)
KINDS, OF_A_KIND, DIM = 10, 12, 16


def unit(vectors: NDArray[np.floating[Any]]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def shop(seed: int = 0) -> tuple[Vectors, ItemPairs]:
    """Items in kinds that lie together; what is taken with an item is of the kind opposite, which lies elsewhere."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(KINDS), OF_A_KIND)
    vectors = unit(rng.normal(size=(KINDS, DIM))[kind] + 0.15 * rng.normal(size=(len(kind), DIM)))
    first = np.repeat(np.arange(len(kind)), 6)
    second = (kind[first] ^ 1) * OF_A_KIND + rng.integers(0, OF_A_KIND, len(first))
    return vectors, ItemPairs(first, second)


def random_projection(dim: int = DIM, hidden: int = 8) -> Projection:
    rng = np.random.default_rng(5)
    shapes = ((hidden, dim), (hidden,), (dim, hidden), (dim, dim), (dim,))
    return Projection(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))


def test_it_is_the_formula_it_says() -> None:
    projection, vectors = random_projection(), shop()[0][:5]
    for x, found in zip(vectors, projection.apply(vectors), strict=True):
        x = x * math.sqrt(DIM)
        hidden = np.maximum(projection.inner @ x + projection.inner_bias, 0)
        raised = projection.straight @ x + projection.bias + projection.out @ hidden
        np.testing.assert_allclose(found, raised / np.linalg.norm(raised), atol=1e-5)
    assert not projection.apply(np.zeros((1, DIM), np.float32)).any()


def test_it_begins_as_what_leaves_vectors_as_they_are() -> None:
    vectors = shop()[0]
    begun = _snapshot(ProjectionObjective(DIM, replace(PLAN, shared=0.0)))
    np.testing.assert_allclose(begun.apply(vectors), vectors, atol=1e-6)


def test_a_direction_that_all_share_keeps_the_order_of_what_is_near() -> None:
    vectors = np.eye(DIM, dtype=np.float32)[:3]
    objective = ProjectionObjective(DIM, replace(PLAN, shared=2.0))
    with torch.no_grad():  # at right angles to all of them
        objective.straight.bias.copy_(torch.eye(DIM)[5] * objective.straight.bias.norm())
    near = _snapshot(objective).apply(unit(vectors + vectors.sum(0) * np.float32(0.3)))
    alike = unit(vectors + vectors.sum(0) * np.float32(0.3))
    np.testing.assert_allclose(near @ near.T, (alike @ alike.T + 4) / 5, atol=1e-5)


def test_a_part_of_what_is_wanted_is_what_similar_items_were_taken_with() -> None:
    vectors = unit(
        np.array([[1, 0], [1, 0.001], [-1, 0], [-1, 0.001]], dtype=np.float32)
    )  # alike: 0 and 1, 2 and 3
    pairs = ItemPairs(np.array([0, 0, 0, 1]), np.array([2, 2, 3, 3]))  # 0 took 2 twice and 3; 1 took 3
    batch = ProjectionFeed.of(
        vectors, neighbour_counts(pairs, 4), np.arange(4), replace(PLAN, borrowed=0.4)
    ).batch(0)
    wanted = dict(zip(batch["places"].tolist(), batch["wanted"].tolist(), strict=True))
    assert wanted[0] == pytest.approx([0, 0, 0.6 * 2 / 3, 0.6 / 3 + 0.4], abs=1e-6)
    assert wanted[1] == pytest.approx([0, 0, 0.4 * 2 / 3, 0.6 + 0.4 / 3], abs=1e-6)
    assert wanted[2] == pytest.approx([0.6 + 0.4 / 2, 0.4 / 2, 0, 0], abs=1e-6)
    own = ProjectionFeed.of(
        vectors, neighbour_counts(pairs, 4), np.arange(4), replace(PLAN, borrowed=0.0)
    ).batch(0)
    assert own["wanted"][own["places"].tolist().index(0)].tolist() == pytest.approx([0, 0, 2 / 3, 1 / 3])


def test_what_is_learned_is_what_numpy_computes() -> None:
    torch.manual_seed(0)
    vectors, pairs = shop()
    objective = ProjectionObjective(DIM, PLAN)
    for parameter in objective.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    feed = ProjectionFeed.of(vectors, neighbour_counts(pairs, len(vectors)), np.arange(len(vectors)), PLAN)
    batch = feed.batch(0)
    loss = objective(**{name: torch.from_numpy(array) for name, array in batch.items()}).item()
    turned = _snapshot(objective).apply(vectors)
    expected = []
    for place, counts in zip(batch["places"].tolist(), batch["wanted"], strict=True):
        scores = turned @ turned[place] / PLAN.temperature
        others = np.delete(np.arange(len(vectors)), place)
        norm = np.logaddexp.reduce(scores[others])
        expected.append(-(counts / counts.sum()) @ (scores - norm))
    assert loss == pytest.approx(float(np.mean(expected)), rel=1e-4)


def test_a_batch_is_cut_along_its_items_alone() -> None:
    vectors, pairs = shop()
    feed = ProjectionFeed.of(vectors, neighbour_counts(pairs, len(vectors)), np.arange(len(vectors)), PLAN)
    batch = feed.batch(0)
    parts = [part.batch for part in pieces(feed, batch, 2)]
    for name in ("places", "wanted"):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), batch[name])
    for name in ("others", "shift"):
        assert all(np.array_equal(part[name], batch[name]) for part in parts)


def test_recall_is_counted_by_hand() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.1], [1, 0.3], [0, 1], [-1, 0]], dtype=np.float32))
    counts = csr_matrix(
        np.array([[0, 1, 0, 5, 0], [1, 0, 0, 0, 0], [0] * 5, [5, 0, 0, 0, 1], [0, 0, 0, 1, 0]])
    )
    # nearest two of 0 are 1 and 2: one of its two; of 3 they are 2 and 1: none of its two; of 4 one is 3: all of it
    assert recall(vectors, counts, np.array([0]), 2) == 0.5
    assert recall(vectors, counts, np.array([0, 3, 4]), 2) == pytest.approx((0.5 + 0 + 1) / 3)


@pytest.mark.slow
def test_items_that_it_never_learned_from_are_found_with_what_they_are_taken_with(tmp_path: Path) -> None:
    vectors, pairs = shop()
    held_out = np.arange(len(vectors)) % 6 == 0
    found = learn_projection(vectors, pairs, held_out, PLAN, place=HERE, folder=tmp_path)
    assert found is not None
    assert found.before < 0.05
    assert found.after > 0.3
    counts = neighbour_counts(pairs, len(vectors))
    turned = found.projection.apply(vectors)  # it has read them in the end
    assert recall(turned, counts, np.flatnonzero(held_out)) > found.after
    again = learn_projection(vectors, pairs, held_out, PLAN, place=HERE, folder=tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.projection.straight, found.projection.straight)


@pytest.mark.slow
def test_what_is_popular_is_found_more_where_there_is_room_for_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n = 120
    vectors = unit(rng.normal(size=(n, DIM)))
    popular = rng.choice(n, size=2000, p=(weights := np.arange(1, n + 1.0) ** -1) / weights.sum())
    pairs = ItemPairs(rng.integers(0, n, 2000), popular)
    held_out = np.arange(n) % 5 == 4
    counts = neighbour_counts(pairs, n)
    found = {}
    for shared in (0.0, 2.0):
        plan = replace(PLAN, shared=shared, borrowed=0.0, steps=60)
        learned = learn_projection(vectors, pairs, held_out, plan, place=HERE, folder=tmp_path / str(shared))
        assert learned is not None
        found[shared] = recall(learned.projection.apply(vectors), counts, np.arange(n))
    assert found[2.0] > found[0.0]


def test_where_it_would_find_less_there_is_none(tmp_path: Path) -> None:
    vectors, _ = shop()
    kind = np.repeat(np.arange(KINDS), OF_A_KIND)
    first, second = np.nonzero(kind[:, None] == kind[None, :])  # its own kind, which lies nearest anyway
    told = first != second
    pairs = ItemPairs(first[told], second[told])
    held_out = np.arange(len(vectors)) % 6 == 0
    plan = replace(PLAN, steps=4, look_every=2, learning_rate=1e-6)
    assert learn_projection(vectors, pairs, held_out, plan, place=HERE, folder=tmp_path) is None


def test_nobody_to_learn_from_or_to_judge_by_is_told(tmp_path: Path) -> None:
    vectors, pairs = shop()
    nobody, all_of_them = np.zeros(len(vectors), dtype=bool), np.ones(len(vectors), dtype=bool)
    for held_out in (nobody, all_of_them):
        with pytest.raises(InvalidInput, match="too few items"):
            learn_projection(vectors, pairs, held_out, PLAN, place=HERE, folder=tmp_path)
    for wrong in ({"steps": 0}, {"temperature": 0.0}, {"dropout": 1.0}):
        with pytest.raises(InvalidInput, match=r"at least|above"):
            replace(PLAN, **wrong)


def tiny_files() -> EncoderFiles:
    folder = tiny_artifact().folder
    contents = [(folder / name).read_bytes() for name in (GRAPH, TOKENIZER)]
    return EncoderFiles(contents[0], contents[1], 32, MAX_TOKENS, "tiny")


def test_the_graph_says_what_numpy_does() -> None:
    projection = random_projection(32)
    plain, turned = encoder_of(tiny_files()), encoder_of(projected(tiny_files(), projection))
    texts = [*WORDS, "red wine and dog food", ""]
    np.testing.assert_allclose(turned.encode(texts), projection.apply(plain.encode(texts)), atol=1e-5)
    again = projected(
        projected(tiny_files(), projection), random_projection(32, 4)
    )  # one ending after the other
    twice = random_projection(32, 4).apply(projection.apply(plain.encode(texts)))
    np.testing.assert_allclose(encoder_of(again).encode(texts), twice, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", [Form("int8", 16, tolerance=0.9), Form("static", tolerance=0.9)])
def test_a_shop_is_served_with_what_was_learned(tmp_path: Path, form: Form) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 1 + i % 5)) for i in range(200)]
    first = rng.integers(0, 100, 3000)
    pairs = ItemPairs(2 * first, 2 * ((first + rng.integers(1, 4, 3000)) % 100))
    checkpoint = str(save_tiny_bert(tmp_path / "bert"))
    plan = ProjectionPlan(steps=20, hidden=8, items=32, look_every=10)

    def store(projecting: Projecting | None) -> artifacts.Artifact:
        store_encoder(
            tmp_path / "models", checkpoint, form, max_tokens=MAX_TOKENS, texts=texts, pairs=pairs,
            projecting=projecting, cache=tmp_path / "cache",
        )  # fmt: skip
        return artifacts.load(tmp_path / "models", "encoder")

    without, told = store(None), store(Projecting(plan, tmp_path / "scratch"))
    assert "recall@10" in told.meta["parity"]
    assert "projection" not in without.meta
    assert told.meta["projection"] in (told.folder / CARD).read_text() or form.kind == "static"
    changed = open_encoder(told).encode(texts) - open_encoder(without).encode(texts)
    assert bool(np.abs(changed).max() > 1e-3) == ("before" in told.meta["projection"])
    with pytest.raises(InvalidInput, match=r"\[adapt\] projection"):
        store_encoder(
            tmp_path / "other", checkpoint, form, max_tokens=MAX_TOKENS, texts=texts,
            projecting=Projecting(plan, tmp_path / "scratch"), cache=tmp_path / "cache",
        )  # fmt: skip
