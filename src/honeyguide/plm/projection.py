"""A projection of an encoder's vectors towards what users take together, learned on the whole catalogue at once.

The encoder stays as it is: its vectors of the catalogue are computed once, and what is learned on top of them, a
residual layer, is so small that every step compares its items with all others anew. Two-tower recommenders with
frozen text encoders learn such layers; as items' text is all that it reads, it works for new items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.ending import GIVEN, RAW, with_ending
from honeyguide.plm.objectives.neighbours import columns_for, neighbour_counts
from honeyguide.plm.track import Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import Batch
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from honeyguide.types import Progress, Rows, Vectors, silent

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles

_NEVER = -1e9
_ASKED = 2000  # held-out items that are asked with at the most
_CHUNK = 512
K = 10


@dataclass(frozen=True, slots=True)
class ProjectionPlan:
    """How to learn it."""

    steps: int = 400
    hidden: int = 1024
    temperature: float = 0.05
    dropout: float = 0.15
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    items: int = 512
    """Items in a batch."""
    most: int = 16_384
    """Items that a batch is compared with, where the catalogue has more."""
    look_every: int = 50
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.hidden, self.items, self.look_every, self.patience) < 1:
            raise InvalidInput("steps, hidden, items, look_every and patience must be at least 1")
        if not (self.temperature > 0 and 0 <= self.dropout < 1):
            raise InvalidInput("temperature must be above 0, and dropout at least 0 and below 1")


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
    """A projection, and recall@10 of what held-out items were taken with, before and after."""

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

    Items in `held_out` (n,) are not learned from: how many of those that they were taken with are among the ten
    nearest of all says when it is enough. InvalidInput where there are no pairs to learn from, or none to judge by.
    """
    counts = neighbour_counts(pairs, len(vectors))
    asked = np.flatnonzero(held_out & (np.diff(counts.indptr) > 0))[:_ASKED]
    learned = np.flatnonzero(~held_out)
    if not len(asked) or not counts[learned][:, learned].nnz:
        raise InvalidInput("too few items were taken with others to learn from and to judge by")
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        module = _Objective(vectors.shape[1], plan)
    before = recall(vectors, counts, asked)
    module.to(place.device)

    def look() -> Mapping[str, float]:
        module.eval()
        found = recall(module.projection().apply(vectors), counts, asked)
        return {"missed": 1 - found, "recall": found}

    outcome = train(
        [Term("projection", module, _Feed.of(vectors, counts, learned, plan))],
        Schedule(
            plan.steps,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            eval_every=plan.look_every,
            patience=plan.patience,
            seed=plan.seed,
        ),
        place=place,
        folder=folder,
        key=_key(vectors, pairs, held_out, plan),
        evaluate=look,
        tracker=tracker,
        progress=progress,
    )
    after = 1 - (1.0 if outcome.best is None else outcome.best)
    return Learned(module.projection(), before, after, outcome.best_step) if after > before else None


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


@dataclass(frozen=True, eq=False)
class _Feed:
    """Batches of n items: their `places` among m others, how often they were taken (n, m), the others' vectors."""

    vectors: Vectors
    counts: csr_matrix
    queries: Rows
    order: Shuffled
    plan: ProjectionPlan

    @classmethod
    def of(cls, vectors: Vectors, counts: csr_matrix, learned: Rows, plan: ProjectionPlan) -> Self:
        counts = counts[learned][:, learned]
        queries = np.flatnonzero(np.diff(counts.indptr)).astype(np.int64)
        order = Shuffled(np.ones(len(queries), dtype=np.int64), plan.items, plan.seed, plan.items)
        return cls(vectors[learned], counts, queries, order, plan)

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rows = self.queries[self.order.batch(number)]
        rng = np.random.default_rng([self.plan.seed, number])
        wanted = self.counts[rows]
        columns, shift = columns_for(rows, wanted.indices, len(self.vectors), self.plan.most, rng)
        place = np.full(len(self.vectors), -1, dtype=np.int64)
        place[columns] = np.arange(len(columns))
        among = np.zeros((len(rows), len(columns)), dtype=np.float32)
        among[np.repeat(np.arange(len(rows)), np.diff(wanted.indptr)), place[wanted.indices]] = wanted.data
        return {"places": place[rows], "wanted": among, "others": self.vectors[columns], "shift": shift}

    @property
    def least(self) -> int:
        """One: the others are there to be compared with."""
        return 1

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some items of a batch, with all that they are compared with."""
        return {**batch, "places": batch["places"][begin:end], "wanted": batch["wanted"][begin:end]}


class _Objective(torch.nn.Module):
    def __init__(self, dim: int, plan: ProjectionPlan) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(dim, plan.hidden)
        self.out = torch.nn.Linear(plan.hidden, dim, bias=False)
        self.straight = torch.nn.Linear(dim, dim)
        self.drop = torch.nn.Dropout(plan.dropout)
        self.temperature = plan.temperature
        with torch.no_grad():  # it begins as what leaves vectors as they are
            self.out.weight.zero_()
            self.straight.bias.zero_()
            torch.nn.init.eye_(self.straight.weight)

    def forward(
        self, places: torch.Tensor, wanted: torch.Tensor, others: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        scaled = self.drop(others * others.shape[1] ** 0.5)
        raised = self.straight(scaled) + self.out(self.drop(self.inner(scaled).relu()))
        vectors = torch.nn.functional.normalize(raised.float(), dim=1)
        scores = vectors[places] @ vectors.T / self.temperature + shift
        scores[torch.arange(len(places), device=places.device), places] = _NEVER
        shares = wanted / wanted.sum(1, keepdim=True)
        return -(shares * scores.float().log_softmax(1)).sum(1).mean()

    def projection(self) -> Projection:
        """What was learned so far."""
        arrays = (
            self.inner.weight,
            self.inner.bias,
            self.out.weight,
            self.straight.weight,
            self.straight.bias,
        )
        return Projection(*(array.detach().float().cpu().numpy().copy() for array in arrays))


def _key(vectors: Vectors, pairs: ItemPairs, held_out: NDArray[np.bool_], plan: ProjectionPlan) -> str:
    digest = hashlib.sha256(repr(asdict(plan)).encode())
    for array in (vectors, pairs.first, pairs.second, held_out):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
