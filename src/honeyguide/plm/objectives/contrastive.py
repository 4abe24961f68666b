"""In-batch contrastive learning: items that shoppers take together lie together (van den Oord et al. 2018).

Every other item of the batch is a negative, less likely the more popular it is when logQ is corrected for (Yi et al.
2019); what is known to go with the query, and the same item again, are no negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Special, pooled
from honeyguide.plm.batches import Shuffled, padded
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Rows

_NEVER = -1e9


@dataclass(frozen=True, eq=False)
class PairFeed:
    """Batches of `rows` pairs: `first`, `second` ids with masks, `banned` (n, n) and `log_q` (n,) float32.

    `banned[i, j]` is 1 where second j is no negative of first i. `first_rows` and `second_rows` (p,) are rows of
    `tokens`; a pair may be there as often as it was seen.
    """

    tokens: Tokens
    first_rows: Rows
    second_rows: Rows
    special: Special
    order: Shuffled
    limit: int
    log_q: NDArray[np.float64]
    known: NDArray[np.int64]
    """Sorted codes first * n + second of all pairs, for telling what is no negative."""

    least: ClassVar[int] = 2  # one pair alone has nothing to be told from

    @classmethod
    def of(
        cls,
        tokens: Tokens,
        first_rows: Rows,
        second_rows: Rows,
        special: Special,
        *,
        max_tokens: int,
        rows: int = 64,
        seed: int = 0,
    ) -> PairFeed:
        """A feed over pairs of texts, each cut after `max_tokens`."""
        if len(first_rows) != len(second_rows) or not len(first_rows):
            raise InvalidInput(f"pairs need two rows each, got {len(first_rows)} and {len(second_rows)}")
        even = np.ones(len(first_rows), dtype=np.int64)  # batches of equally many pairs: no sorting by length
        counts = np.bincount(second_rows, minlength=len(tokens))
        with np.errstate(divide="ignore"):
            log_q = np.log(counts / counts.sum())
        codes = np.concatenate(
            [first_rows * len(tokens) + second_rows, second_rows * len(tokens) + first_rows]
        )
        order = Shuffled(even, rows, seed, rows)
        return cls(tokens, first_rows, second_rows, special, order, max_tokens - 2, log_q, np.unique(codes))

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        pairs = self.order.batch(number)
        first, second = self.first_rows[pairs], self.second_rows[pairs]
        a, a_mask = self._texts(first)
        b, b_mask = self._texts(second)
        codes = first[:, None] * len(self.tokens) + second[None, :]
        place = np.minimum(np.searchsorted(self.known, codes), len(self.known) - 1)
        banned = (self.known[place] == codes) | (first[:, None] == second[None, :])
        np.fill_diagonal(banned, False)
        return {
            "first": a,
            "first_mask": a_mask,
            "second": b,
            "second_mask": b_mask,
            "banned": banned.astype(np.int64),
            "log_q": self.log_q[second].astype(np.float32),
        }

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some pairs of a batch: only each other's texts are their negatives then."""
        cut = {name: array[begin:end] for name, array in batch.items()}
        return {**cut, "banned": batch["banned"][begin:end, begin:end]}

    def _texts(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        texts = [self.tokens.text(int(row), self.limit) for row in rows]
        return padded(texts, first=self.special.first, last=self.special.last, pad=self.special.pad)


class Scores(torch.nn.Module):
    """(n, n) of first i with second j: a module, so that what listens to logits hears them."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, a: torch.Tensor, b: torch.Tensor, banned: torch.Tensor) -> torch.Tensor:
        """Cosines over the temperature; out of reach where j is no negative of i."""
        return ((a @ b.T) / self.temperature).masked_fill(banned.bool(), _NEVER)


def in_batch_loss(
    a: torch.Tensor, b: torch.Tensor, banned: torch.Tensor, log_q: torch.Tensor | None, temperature: float
) -> torch.Tensor:
    """A scalar for unit vectors (n, dim) of pairs; `log_q` (n,) corrects for how popular each second is."""
    return _both_ways(Scores(temperature)(a, b, banned), log_q)


def _both_ways(scores: torch.Tensor, log_q: torch.Tensor | None) -> torch.Tensor:
    own = torch.arange(len(scores), device=scores.device)
    forth = scores if log_q is None else scores - log_q[None, :]
    there = torch.nn.functional.cross_entropy(forth, own)
    back = torch.nn.functional.cross_entropy(scores.T, own)
    return (there + back) / 2


class Contrastive(torch.nn.Module):
    """Cross-entropy of the pair's own second among the batch's, and of its own first among the firsts."""

    def __init__(self, base: Any, pooling: str, *, temperature: float = 0.05, correct: bool = True) -> None:  # noqa: ANN401
        super().__init__()
        if not temperature > 0:
            raise InvalidInput(f"temperature must be above 0, got {temperature}")
        self.base = base
        self.pooling, self.correct = pooling, correct
        self.scores = Scores(temperature)

    def forward(
        self,
        first: torch.Tensor,
        first_mask: torch.Tensor,
        second: torch.Tensor,
        second_mask: torch.Tensor,
        banned: torch.Tensor,
        log_q: torch.Tensor,
    ) -> torch.Tensor:
        """The loss, a scalar."""
        a, b = self.vectors(first, first_mask), self.vectors(second, second_mask)
        return _both_ways(self.scores(a, b, banned), log_q if self.correct else None)

    def vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, dim) float32 of unit norm."""
        hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        return pooled(hidden, mask, self.pooling)
