"""The parity gate: what it counts is what a loop counts, and what loses too much does not pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from honeyguide.errors import HoneyguideError, InvalidInput, QualityLost
from honeyguide.plm.parity import RetrievalTask, check_parity, measure_parity, neighbour_task
from honeyguide.types import Vectors

TEXTS = tuple(f"text {i}" for i in range(60))
BASE = np.random.default_rng(0).normal(size=(60, 16))


class Table:
    """An encoder whose vectors are written down, with noise on top."""

    def __init__(self, noise: float = 0.0, dim: int = 16, version: str = "table") -> None:
        wanted = BASE + noise * np.random.default_rng(1).normal(size=BASE.shape)
        kept = wanted[:, :dim]
        self._rows = dict(zip(TEXTS, kept / np.linalg.norm(kept, axis=1, keepdims=True), strict=True))
        self.dim, self.version = dim, version

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.array([self._rows[text] for text in texts], dtype=np.float32).reshape(-1, self.dim)


def near(encoder: Table, row: int, k: int) -> set[int]:
    vectors = encoder.encode(TEXTS).astype(np.float64)
    scores = [(-(vectors[row] @ vectors[other]), other) for other in range(60) if other != row]
    return {other for _, other in sorted(scores)[:k]}


@pytest.mark.parametrize("k", [1, 5, 10])
def test_it_counts_what_a_loop_counts(k: int) -> None:
    rng = np.random.default_rng(2)
    asked, wanted = rng.integers(0, 30, 80), rng.integers(30, 60, 80)
    task = RetrievalTask(TEXTS, asked, wanted)
    one, other = Table(), Table(0.4)
    found = measure_parity(one, other, task, k=k)
    recalls: dict[str, list[float]] = {"one": [], "other": []}
    agreement = []
    for row in sorted(set(asked.tolist())):
        there = set(wanted[asked == row].tolist())
        sets = {"one": near(one, row, k), "other": near(other, row, k)}
        for name, some in sets.items():
            recalls[name].append(len(some & there) / min(k, len(there)))
        agreement.append(len(sets["one"] & sets["other"]) / k)
    assert found.reference_recall == pytest.approx(np.mean(recalls["one"]))
    assert found.recall == pytest.approx(np.mean(recalls["other"]))
    assert found.agreement == pytest.approx(np.mean(agreement))
    cosines = (one.encode(TEXTS) * other.encode(TEXTS)).sum(1)
    assert found.least_cosine == pytest.approx(cosines.min())
    assert found.mean_cosine == pytest.approx(cosines.mean())
    assert (found.texts, found.queries, found.k) == (60, len(set(asked.tolist())), k)


def test_without_labels_the_reference_finds_all_and_the_candidate_is_held_against_it() -> None:
    task = neighbour_task(Table(), [*TEXTS, *TEXTS], wanted=3)
    for row in range(60):
        assert set(task.wanted[task.asked == row].tolist()) == near(Table(), row, 3)
    same = check_parity(Table(), Table(), task, tolerance=0.0)
    assert (same.recall, same.reference_recall, same.agreement) == (1.0, 1.0, 1.0)
    assert same.lost == 0
    losses = [measure_parity(Table(), Table(noise), task).lost for noise in (0.05, 0.3, 1.0, 5.0)]
    assert losses == sorted(losses)
    assert losses[-1] > 0.5


def test_too_much_lost_is_refused_with_figures_tolerance_and_remedy() -> None:
    task = neighbour_task(Table(), TEXTS)
    lost = measure_parity(Table(), Table(1.0), task).lost
    assert check_parity(Table(), Table(1.0), task, tolerance=lost + 1e-9).lost == lost
    with pytest.raises(QualityLost) as told:
        check_parity(Table(), Table(1.0, version="small"), task, tolerance=0.02, remedy="Keep the large one")
    message = str(told.value)
    assert f"encoder small loses {lost:.1%} of what table finds, and 2.0% are allowed" in message
    for word in ("recall@10", "nearest 10", "cosine", "60 queries among 60 texts", "Keep the large one"):
        assert word in message
    assert isinstance(told.value, HoneyguideError)


def test_other_dims_are_held_against_each_other_by_what_they_find() -> None:
    found = measure_parity(Table(), Table(dim=12), neighbour_task(Table(), TEXTS))
    assert found.least_cosine is None
    assert found.mean_cosine is None
    assert 0.1 < found.agreement < 1
    assert "cosine" not in str(found)


def test_an_encoder_that_gives_nothing_does_not_pass() -> None:
    class Broken(Table):
        def encode(self, texts: Sequence[str]) -> Vectors:
            return np.full((len(texts), 16), np.nan, dtype=np.float32)

    with pytest.raises(QualityLost):
        check_parity(Table(), Broken(), neighbour_task(Table(), TEXTS), tolerance=0.5)


def test_more_neighbours_than_texts_is_all_of_them() -> None:
    few = TEXTS[:4]
    found = measure_parity(Table(), Table(3.0), neighbour_task(Table(), few), k=10)
    assert (found.k, found.agreement, found.lost) == (3, 1.0, 0.0)


def test_tasks_that_mean_nothing_are_told() -> None:
    one, two = np.array([0]), np.array([1])
    with pytest.raises(InvalidInput, match="twice"):
        RetrievalTask(("a", "a"), one, two)
    with pytest.raises(InvalidInput, match="for itself"):
        RetrievalTask(("a", "b"), one, one)
    for asked, wanted in (
        (one, np.array([2])),
        (np.array([-1]), one),
        (one, np.array([1, 1])),
        (one[:0], two[:0]),
    ):
        with pytest.raises(InvalidInput, match="pairs of rows"):
            RetrievalTask(("a", "b"), asked, wanted)
    with pytest.raises(InvalidInput, match="two distinct"):
        neighbour_task(Table(), [TEXTS[0], TEXTS[0]])
    far = RetrievalTask(
        TEXTS, one, np.array([next(i for i in range(1, 60) if i not in near(Table(), 0, 10))])
    )
    with pytest.raises(InvalidInput, match="finds nothing"):
        measure_parity(Table(), Table(), far)
    with pytest.raises(InvalidInput, match="tolerance"):
        check_parity(Table(), Table(), neighbour_task(Table(), TEXTS), tolerance=1.0)
    with pytest.raises(InvalidInput, match="k must"):
        measure_parity(Table(), Table(), neighbour_task(Table(), TEXTS), k=0)
