"""Which items are taken with an item, among the whole catalogue and not only among a batch.

Scoring all items anew at every step would cost as much as reading the catalogue. So a memory keeps the vector that
each item had when it was last read (cross-batch memory: Wang et al. 2020): what a step compares its items with is a
little old and costs next to nothing. What is learned is the distribution of the neighbours, as the log counts them,
so that popular items are found more often, as they are taken more often.

Of the whole catalogue's loss an item's vector has two gradients: of being asked with, and of being found by all the
others. A batch gives both to its items; for the second the memory also keeps what each item's scores summed up to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Special, pooled
from honeyguide.plm.batches import Shuffled, padded
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Rows

_NEVER = -1e9
_COLUMNS = 16_384
_SURE = 1.0  # what is remembered of sums may be older than the scores: a chance must not run away


@dataclass(frozen=True, eq=False)
class NeighbourFeed:
    """Batches of n items: `ids`, `mask` (n, length), their `rows` (n,), and m items they are compared with.

    Those are `columns` (m,), the batch's own and all their neighbours among them; `wanted` (n, m) float32 says how
    often each was taken with each, `totals` (m,) how often each of those was taken with anything. Of a catalogue
    larger than `most` the others are drawn, and `shift` (m,) float32 makes up for those that were not: each drawn one
    stands for so many.
    """

    tokens: Tokens
    special: Special
    order: Shuffled
    limit: int
    queries: Rows
    """The items with any neighbour, which the order is over."""
    counts: csr_matrix
    totals: NDArray[np.float32]
    """(items,): row sums of the counts."""
    most: int
    seed: int

    @classmethod
    def of(
        cls,
        tokens: Tokens,
        pairs: ItemPairs,
        special: Special,
        *,
        max_tokens: int,
        rows: int = 64,
        most: int = _COLUMNS,
        seed: int = 0,
    ) -> NeighbourFeed:
        """A feed over the items in `pairs`, rows of `tokens`; InvalidInput where there is no pair."""
        n, limit = len(tokens), max_tokens - 2
        counts = neighbour_counts(pairs, n)
        queries = np.flatnonzero(np.diff(counts.indptr)).astype(np.int64)
        if not len(queries):
            raise InvalidInput("no item was taken with any other: there are no neighbours to learn")
        lengths = np.minimum(tokens.lengths[queries], limit) + 2
        order = Shuffled(lengths, max(rows * int(lengths.max()), 1), seed, rows)
        totals = np.asarray(counts.sum(1), dtype=np.float32).ravel()
        return cls(tokens, special, order, limit, queries, counts, totals, most, seed)

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rows = self.queries[self.order.batch(number)]
        texts = [self.tokens.text(int(row), self.limit) for row in rows]
        ids, mask = padded(texts, first=self.special.first, last=self.special.last, pad=self.special.pad)
        wanted = self.counts[rows]
        rng = np.random.default_rng([self.seed, number])
        columns, shift = columns_for(rows, wanted.indices, len(self.tokens), self.most, rng)
        place = np.full(len(self.tokens), -1, dtype=np.int64)
        place[columns] = np.arange(len(columns))
        among = np.zeros((len(rows), len(columns)), dtype=np.float32)
        among[np.repeat(np.arange(len(rows)), np.diff(wanted.indptr)), place[wanted.indices]] = wanted.data
        return {
            "ids": ids, "mask": mask, "rows": rows, "columns": columns, "places": place[rows], "wanted": among,
            "totals": self.totals[columns], "shift": shift,
        }  # fmt: skip

    @property
    def least(self) -> int:
        """One: the memory is there to be compared with."""
        return 1

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some items of a batch, with all that they are compared with."""
        compared = ("columns", "totals", "shift")
        return {name: array if name in compared else array[begin:end] for name, array in batch.items()}


def columns_for(
    rows: Rows, neighbours: Rows, items: int, most: int, rng: np.random.Generator
) -> tuple[Rows, NDArray[np.float32]]:
    """(m,) items to compare `rows` with, those and their `neighbours` among them, and (m,) what makes up for others.

    All items where there are at most `most`; else each drawn one stands for so many, by the log of that.
    """
    if items <= most:
        return np.arange(items, dtype=np.int64), np.zeros(items, dtype=np.float32)
    sure = np.union1d(rows, neighbours).astype(np.int64)
    rest = np.setdiff1d(np.arange(items, dtype=np.int64), sure, assume_unique=True)
    drawn = min(len(rest), max(most - len(sure), len(rows)))
    columns = np.concatenate([sure, np.sort(rng.choice(rest, drawn, replace=False))])
    shift = np.zeros(len(columns), dtype=np.float32)
    shift[len(sure) :] = math.log(len(rest) / drawn) if drawn else 0.0
    return columns, shift


def neighbour_counts(pairs: ItemPairs, items: int) -> csr_matrix:
    """(items, items) float32: how often two were taken together, whichever came first; never one with itself."""
    told = pairs.first != pairs.second
    first, second = pairs.first[told], pairs.second[told]
    ones = np.ones(2 * len(first), dtype=np.float32)
    both = (np.concatenate([first, second]), np.concatenate([second, first]))
    counts = csr_matrix((ones, both), shape=(items, items))
    counts.sum_duplicates()
    return counts


class Neighbours(torch.nn.Module):
    """Cross-entropy between how often each item was taken with one and what their vectors say.

    `memory` (items, dim) holds unit vectors as they were last read, `sizes` (items,) the log of the mean of what each
    item's scores were the logs of; what was not read yet is not compared with.
    """

    memory: torch.Tensor
    sizes: torch.Tensor
    known: torch.Tensor

    def __init__(self, base: Any, pooling: str, items: int, dim: int, *, temperature: float = 0.1) -> None:  # noqa: ANN401
        super().__init__()
        if not temperature > 0:
            raise InvalidInput(f"temperature must be above 0, got {temperature}")
        self.base, self.pooling, self.temperature = base, pooling, temperature
        self.register_buffer("memory", torch.zeros(items, dim))
        self.register_buffer("sizes", torch.zeros(items))
        self.register_buffer("known", torch.zeros(items, dtype=torch.bool))

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        rows: torch.Tensor,
        columns: torch.Tensor,
        places: torch.Tensor,
        wanted: torch.Tensor,
        totals: torch.Tensor,
        shift: torch.Tensor,
    ) -> torch.Tensor:
        """The loss, a scalar; `places` (n,) says where among the columns the batch's own items stand."""
        vectors = self.vectors(ids, mask)
        others = self.memory[columns].index_copy(0, places, vectors.detach())
        scores = (vectors @ others.T).float() / self.temperature
        allowed = self.known[columns].index_fill(0, places, True).repeat(len(rows), 1)
        allowed[torch.arange(len(rows), device=rows.device), places] = False
        told = torch.where(allowed, wanted, 0.0)
        asking, sums = _asking(scores + shift, told, allowed)
        there = torch.where(allowed, shift, _NEVER).logsumexp(1)  # the log of how many there are
        logsums = (self.sizes[columns] + there.mean()).index_copy(0, places, sums)
        found = _found(scores, told, allowed, totals, logsums, shift)
        if self.training:
            self._remember(rows, vectors.detach(), sums - there)
        return (asking + found - found.detach()).mean()

    def _remember(self, rows: torch.Tensor, vectors: torch.Tensor, sizes: torch.Tensor) -> None:
        """What was read here and, of several processes, elsewhere in this step."""
        read = [(rows.cpu(), vectors.cpu(), sizes.cpu())]
        if dist.is_initialized():
            read *= dist.get_world_size()
            dist.all_gather_object(read, read[0])
        for some, theirs, their_sizes in read:
            where = some.to(self.memory.device)
            self.memory[where] = theirs.to(self.memory)
            self.sizes[where] = their_sizes.to(self.sizes)
            self.known[where] = True

    def vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, dim) float32 of unit norm."""
        return pooled(self.base(input_ids=ids, attention_mask=mask).last_hidden_state, mask, self.pooling)


def _asking(
    scores: torch.Tensor, told: torch.Tensor, allowed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n,) losses of the batch's items as what is asked with, and (n,) logs of what their scores sum up to."""
    logsums = torch.where(allowed, scores, _NEVER).logsumexp(1)
    total = told.sum(1)
    mean = (told * scores).sum(1) / total.clamp_min(1e-9)
    return torch.where(total > 0, logsums - mean, 0.0), logsums.detach()


def _found(
    scores: torch.Tensor,
    told: torch.Tensor,
    allowed: torch.Tensor,
    totals: torch.Tensor,
    logsums: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """(n,) numbers with the gradient that the losses of all others have for the batch's items as what is found.

    That is, of each other's softmax, the chance of being found less the share of the times that it was.
    """
    chances = torch.where(allowed & (totals > 0), (scores - logsums + shift).clamp_max(_SURE).exp(), 0.0)
    return chances.sum(1) - (told * scores / totals.clamp_min(1e-9)).sum(1)
