"""What a projection of vectors learns: what is taken with an item, among the whole catalogue, anew at every step.

Most pairs of items were taken together once, by chance as much as by taste. So a part of what is wanted for an item
is what the items with the most similar texts were taken with: labels are smoothed along the text, not evenly.

Unit vectors have no room for how popular an item is, which decides much of what is taken with anything. A direction
that all vectors share makes room: what an item has more of it, it is nearer to all by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.objectives.neighbours import columns_for
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Rows, Vectors

_NEVER = -1e9
_ALIKE = 32
_SHARPNESS = 20.0


@dataclass(frozen=True, slots=True)
class ProjectionPlan:
    """How to learn it."""

    steps: int = 200
    hidden: int = 1024
    temperature: float = 0.03
    shared: float = 2.0
    """Length of a direction that all vectors share at first, in lengths of a vector: room for what is popular."""
    borrowed: float = 0.4
    """The share of what is wanted for an item that is what those with similar texts were taken with."""
    dropout: float = 0.1
    learning_rate: float = 3e-3
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
        if not (
            self.temperature > 0 and self.shared >= 0 and 0 <= self.dropout < 1 and 0 <= self.borrowed < 1
        ):
            raise InvalidInput(
                "temperature must be above 0, shared at least 0, dropout and borrowed at least 0 and below 1"
            )


@dataclass(frozen=True, eq=False)
class ProjectionFeed:
    """Batches of n items: their `places` among m `others` (m, d), and what is wanted of those for each (n, m).

    Rows of `wanted` sum to 1. Of a catalogue of more than `plan.most` items the others are drawn, and `shift` (m,)
    makes up for those that were not.
    """

    vectors: Vectors
    counts: csr_matrix
    chances: csr_matrix
    """The counts, each row by its sum."""
    queries: Rows
    order: Shuffled
    plan: ProjectionPlan

    @classmethod
    def of(cls, vectors: Vectors, counts: csr_matrix, learned: Rows, plan: ProjectionPlan) -> Self:
        """Of unit `vectors` (items, d) and counts of two taken together, those of the rows `learned` alone."""
        counts = counts[learned][:, learned]
        totals = np.asarray(counts.sum(1), dtype=np.float32).ravel()
        queries = np.flatnonzero(totals).astype(np.int64)
        order = Shuffled(np.ones(len(queries), dtype=np.int64), plan.items, plan.seed, plan.items)
        return cls(vectors[learned], counts, diags(1 / np.maximum(totals, 1)) @ counts, queries, order, plan)

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rows = self.queries[self.order.batch(number)]
        rng = np.random.default_rng([self.plan.seed, number])
        columns, shift = columns_for(rows, self.counts[rows].indices, len(self.vectors), self.plan.most, rng)
        place = np.full(len(self.vectors), -1, dtype=np.int64)
        place[columns] = np.arange(len(columns))
        wanted = self._wanted(rows)[:, columns]
        wanted[np.arange(len(rows)), place[rows]] = 0.0
        wanted /= wanted.sum(1, keepdims=True)
        return {"places": place[rows], "wanted": wanted, "others": self.vectors[columns], "shift": shift}

    def _wanted(self, rows: Rows) -> NDArray[np.float32]:
        """(n, items): a mixture of what each was taken with and what the items most like it were."""
        own = self.chances[rows]
        if not self.plan.borrowed:
            return np.asarray(own.toarray(), dtype=np.float32)
        alike = _most_alike(self.vectors, rows)
        mixed = (1 - self.plan.borrowed) * own + self.plan.borrowed * (alike @ self.chances)
        return np.asarray(mixed.toarray(), dtype=np.float32)

    @property
    def least(self) -> int:
        """One: the others are there to be compared with."""
        return 1

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some items of a batch, with all that they are compared with."""
        return {**batch, "places": batch["places"][begin:end], "wanted": batch["wanted"][begin:end]}


def _most_alike(vectors: Vectors, rows: Rows) -> csr_matrix:
    """(n, items): a softmax over the items whose vectors are the most similar, without the item itself."""
    similar = vectors[rows] @ vectors.T
    similar[np.arange(len(rows)), rows] = -np.inf
    most = min(_ALIKE, len(vectors) - 1)
    near = np.argpartition(-similar, most - 1, axis=1)[:, :most]
    scores = _SHARPNESS * np.take_along_axis(similar, near, axis=1)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    starts = np.arange(len(rows) + 1) * most
    return csr_matrix((shares.ravel(), near.ravel(), starts), shape=(len(rows), len(vectors)))


class ProjectionObjective(torch.nn.Module):
    """Cross-entropy between what is wanted for items and what their projected vectors say."""

    def __init__(self, dim: int, plan: ProjectionPlan) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(dim, plan.hidden)
        self.out = torch.nn.Linear(plan.hidden, dim, bias=False)
        self.straight = torch.nn.Linear(dim, dim)
        self.drop = torch.nn.Dropout(plan.dropout)
        self.temperature = plan.temperature
        with torch.no_grad():  # it begins as what leaves vectors in their order
            self.out.weight.zero_()
            torch.nn.init.eye_(self.straight.weight)
            shared = torch.nn.functional.normalize(torch.randn(dim), dim=0)
            self.straight.bias.copy_(plan.shared * dim**0.5 * shared)

    def forward(
        self, places: torch.Tensor, wanted: torch.Tensor, others: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        """The loss, a scalar."""
        scaled = self.drop(others * others.shape[1] ** 0.5)
        raised = self.straight(scaled) + self.out(self.drop(self.inner(scaled).relu()))
        vectors = torch.nn.functional.normalize(raised.float(), dim=1)
        scores = vectors[places] @ vectors.T / self.temperature + shift
        scores[torch.arange(len(places), device=places.device), places] = _NEVER
        return -(wanted * scores.float().log_softmax(1)).sum(1).mean()
