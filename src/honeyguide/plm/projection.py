"""A projection of an encoder's vectors towards what users take together, learned on the whole catalogue at once.

The encoder stays as it is: its vectors of the catalogue are computed once, and what is learned on top of them, a
residual layer, is so small that every step compares its items with all others anew. Two-tower recommenders with
frozen text encoders learn such layers; as items' text is all that it reads, it works for new items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from honeyguide.errors import InvalidInput
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.ending import GIVEN, RAW, with_ending
from honeyguide.plm.objectives.neighbours import neighbour_counts
from honeyguide.plm.objectives.projection import ProjectionFeed, ProjectionObjective, ProjectionPlan
from honeyguide.plm.track import Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import Outcome, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from honeyguide.types import Progress, Rows, Vectors, silent

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles

_ASKED = 2000  # held-out items that are asked with at the most
_CHUNK = 512
K = 10

Judge = Callable[["Projection"], Mapping[str, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """x to the unit vector of `straight x + bias + out relu(inner x + inner_bias)`, x being a vector times sqrt(d).

    `inner` (h, d), `inner_bias` (h,), `out` (d, h), `straight` (d, d), `bias` (d,), all float32.
    """

    inner: Vectors
    inner_bias: NDArray[np.float32]
    out: Vectors
    straight: Vectors
    bias: NDArray[np.float32]

    def apply(self, vectors: Vectors) -> Vectors:
        """(n, d) unit vectors; the zero vector, of a text in which there is nothing to read, stays zero."""
        scaled = vectors * np.float32(np.sqrt(vectors.shape[1]))
        found = scaled @ self.straight.T + self.bias
        found += np.maximum(scaled @ self.inner.T + self.inner_bias, 0) @ self.out.T
        found[~vectors.any(1)] = 0
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def projected(files: EncoderFiles, projection: Projection) -> EncoderFiles:
    """An encoder whose vectors are projected, as a part of its graph."""
    stored = {
        "scale": np.array(np.sqrt(files.dim), np.float32),
        "inner": projection.inner.T,
        "inner_bias": projection.inner_bias,
        "out": projection.out.T,
        "straight": projection.straight.T,
        "bias": projection.bias,
    }
    steps = [
        ("Mul", (GIVEN, "scale"), "scaled"),
        ("MatMul", ("scaled", "inner"), "opened"),
        ("Add", ("opened", "inner_bias"), "shifted"),
        ("Relu", ("shifted",), "hidden"),
        ("MatMul", ("hidden", "out"), "bent"),
        ("MatMul", ("scaled", "straight"), "turned"),
        ("Add", ("turned", "bias"), "moved"),
        ("Add", ("moved", "bent"), RAW),
    ]
    digest = hashlib.sha256(files.key.encode())
    for array in stored.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    graph = with_ending(files.graph, "projection", steps, stored, dim=files.dim)
    return replace(files, graph=graph, key=digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Learned:
    """A projection, and recall@10 of what held-out items were taken with, before and after it learned from others."""

    projection: Projection
    before: float
    after: float
    steps: int


def learn_projection(
    vectors: Vectors,
    pairs: ItemPairs,
    held_out: NDArray[np.bool_],
    plan: ProjectionPlan,
    *,
    place: Place,
    folder: Path,
    tracker: Tracker | None = None,
    progress: Progress = silent,
) -> Learned | None:
    """Learn from unit `vectors` (n, d) of the catalogue and pairs of its rows; None where it would find less.

    Items in `held_out` (n,) are not learned from at first: how many of those that they were taken with are among the
    ten nearest of all says how many steps are best. Then it is learned anew from all of them in as many.
    InvalidInput where there are no pairs to learn from, or none to judge by.
    """
    counts = neighbour_counts(pairs, len(vectors))
    asked = np.flatnonzero(held_out & (np.diff(counts.indptr) > 0))[:_ASKED]
    learned = np.flatnonzero(~held_out)
    if not len(asked) or not counts[learned][:, learned].nnz:
        raise InvalidInput(
            "too few items were taken with others to learn from and to judge by: import more events, hold out a "
            "tenth of the items ([adapt] held_out), or set [adapt] projection to 0"
        )
    lesson = _Lesson(vectors, counts, plan, place, folder, _key(vectors, pairs, held_out, plan), tracker)

    def judge(projection: Projection) -> Mapping[str, float]:
        found = recall(projection.apply(vectors), counts, asked)
        return {"missed": 1 - found, "recall": found}

    total = 2 * plan.steps
    before = recall(vectors, counts, asked)
    _, tried = lesson.learn("tried", learned, 0, lambda step, _: progress(step, total), judge)
    after = 1 - (1.0 if tried.best is None else tried.best)
    found = None
    if after > before:
        everything = np.arange(len(vectors))
        whole, _ = lesson.learn(
            "whole", everything, tried.best_step, lambda step, _: progress(plan.steps + step, total)
        )
        found = Learned(whole, before, after, tried.best_step)
    progress(total, total)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    vectors: Vectors
    counts: csr_matrix
    plan: ProjectionPlan
    place: Place
    folder: Path
    key: str
    tracker: Tracker | None

    def learn(
        self, name: str, rows: Rows, stop: int, progress: Progress, judge: Judge | None = None
    ) -> tuple[Projection, Outcome]:
        """Learn from the pairs among `rows`, up to the steps that `judge` finds best, or to a step to stop at."""
        plan = self.plan
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            module = ProjectionObjective(self.vectors.shape[1], plan).to(self.place.device)
        outcome = train(
            [Term("projection", module, ProjectionFeed.of(self.vectors, self.counts, rows, plan))],
            Schedule(
                plan.steps,
                learning_rate=plan.learning_rate,
                weight_decay=plan.weight_decay,
                eval_every=plan.look_every,
                patience=plan.patience,
                seed=plan.seed,
                stop=stop,
            ),
            place=self.place,
            folder=self.folder / name,
            key=f"{self.key} {name} {stop}",
            evaluate=None if judge is None else lambda: judge(_snapshot(module)),
            tracker=self.tracker if judge else None,
            progress=progress,
        )
        return _snapshot(module), outcome


def recall(vectors: Vectors, counts: csr_matrix, asked: Rows, k: int = K) -> float:
    """The mean share of what the asked items were taken with that is among their `k` nearest of all others."""
    shares = []
    for first in range(0, len(asked), _CHUNK):
        rows = asked[first : first + _CHUNK]
        scores = vectors[rows] @ vectors.T
        scores[np.arange(len(rows)), rows] = -np.inf
        most = min(k, len(vectors) - 1)
        near = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        taken = counts[rows].toarray() > 0
        hits = np.take_along_axis(taken, near, axis=1).sum(1)
        shares.append(hits / np.minimum(taken.sum(1), most))
    return float(np.concatenate(shares).mean())


def _snapshot(module: ProjectionObjective) -> Projection:
    arrays = (
        module.inner.weight, module.inner.bias, module.out.weight, module.straight.weight, module.straight.bias,
    )  # fmt: skip
    return Projection(*(array.detach().float().cpu().numpy().copy() for array in arrays))


def _key(vectors: Vectors, pairs: ItemPairs, held_out: NDArray[np.bool_], plan: ProjectionPlan) -> str:
    digest = hashlib.sha256(repr(asdict(plan)).encode())
    for array in (vectors, pairs.first, pairs.second, held_out):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
