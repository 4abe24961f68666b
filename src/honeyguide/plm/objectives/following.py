"""Next-sentence prediction on behaviour: is B what this shopper did after A, or something at random?

BERT's objective (Devlin et al. 2019) with events for sentences: what makes one item follow another is what a shop
wants its language model to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Special
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Rows


@dataclass(frozen=True, eq=False)
class FollowingFeed:
    """Batches of text pairs: `ids`, `mask`, `types` (n, length), `follows` (n,) 1 where B really came after A.

    `first` and `second` (p,) are rows of `tokens`; every other pair gets a B drawn from all B there are, so that how
    popular an item is tells nothing.
    """

    tokens: Tokens
    first: Rows
    second: Rows
    special: Special
    order: Shuffled
    limit: int
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.first) != len(self.second):
            raise InvalidInput(f"a pair needs two rows, got {len(self.first)} and {len(self.second)}")

    @classmethod
    def of(
        cls,
        tokens: Tokens,
        first: Rows,
        second: Rows,
        special: Special,
        *,
        max_tokens: int,
        batch_tokens: int = 4096,
        seed: int = 0,
    ) -> FollowingFeed:
        """A feed over pairs in which each text is cut so that both fit into `max_tokens`."""
        limit = (max_tokens - 3) // 2
        lengths = np.minimum(tokens.lengths, limit)
        both = lengths[first] + lengths[second] + 3
        order = Shuffled(both, max(batch_tokens, max_tokens), seed)
        return cls(tokens, first, second, special, order, limit, seed)

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rng = np.random.default_rng([self.seed, number, 2])
        pairs = self.order.batch(number)
        follows = (rng.permutation(len(pairs)) % 2).astype(np.int64)
        other = self.second[rng.integers(0, len(self.second), len(pairs))]
        real = self.second[pairs]
        second = np.where(follows == 1, real, other)
        follows = np.where(second == real, 1, follows)  # by chance it is what really came
        return {**self._pairs(self.first[pairs], second), "follows": follows}

    def _pairs(self, first: Rows, second: Rows) -> Batch:
        texts = [
            (self.tokens.text(int(a), self.limit), self.tokens.text(int(b), self.limit))
            for a, b in zip(first, second, strict=True)
        ]
        width = 3 + max(len(a) + len(b) for a, b in texts)
        ids = np.full((len(texts), width), self.special.pad, dtype=np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, (a, b) in enumerate(texts):
            line = [self.special.first, *a, self.special.last, *b, self.special.last]
            ids[row, : len(line)] = line
            mask[row, : len(line)] = 1
            types[row, len(a) + 2 : len(line)] = 1
        return {"ids": ids, "mask": mask, "types": types}


class Following(torch.nn.Module):
    """Cross-entropy of real against random, from the first token's hidden state."""

    def __init__(self, base: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.base = base
        width = int(base.config.hidden_size)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.Tanh(), torch.nn.Linear(width, 2)
        )
        self._typed = int(getattr(base.config, "type_vocab_size", 0) or 0) > 1

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor, follows: torch.Tensor
    ) -> torch.Tensor:
        """The loss, a scalar."""
        return torch.nn.functional.cross_entropy(self.logits(ids, mask, types), follows)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """(n, 2) float32: random, real."""
        told = {"token_type_ids": types} if self._typed else {}
        hidden = self.base(input_ids=ids, attention_mask=mask, **told).last_hidden_state
        found: torch.Tensor = self.head(hidden[:, 0].float())
        return found
