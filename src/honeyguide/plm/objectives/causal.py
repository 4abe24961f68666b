"""Causal language modelling: each token from those before it, on packed texts (Radford et al. 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Batch


@dataclass(frozen=True, eq=False)
class CausalFeed:
    """Batches of `rows` blocks: `ids` (rows, block). All texts, each followed by `end`, are cut without a gap.

    A block is read from the mapped tokens when it is asked for; every epoch has another order of texts.
    """

    tokens: Tokens
    end: int
    block: int
    rows: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.blocks < 1:
            total = len(self.tokens.ids) + len(self.tokens)
            raise InvalidInput(f"the corpus has {total} tokens, fewer than one block of {self.block}")
        object.__setattr__(self, "_epoch", lru_cache(maxsize=2)(self._make))

    @property
    def blocks(self) -> int:
        """Whole blocks in an epoch."""
        return (len(self.tokens.ids) + len(self.tokens)) // self.block

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch; the last one may take blocks of the next."""
        return -(-self.blocks // self.rows)

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        first = number * self.rows
        return {"ids": np.stack([self._block(first + row) for row in range(self.rows)])}

    def _make(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The order of the texts, and where each begins and the last ends, every text one token longer."""
        order = np.random.default_rng([self.seed, epoch, 3]).permutation(len(self.tokens))
        return order, np.concatenate([[0], np.cumsum(self.tokens.lengths[order] + 1)]).astype(np.int64)

    def _block(self, number: int) -> NDArray[np.int64]:
        order, begins = self._epoch(number // self.blocks)  # type: ignore[attr-defined]
        start = (number % self.blocks) * self.block
        first = int(np.searchsorted(begins, start, side="right")) - 1
        last = int(np.searchsorted(begins, start + self.block, side="left"))
        pieces = [np.append(self.tokens.text(int(order[i]), 1 << 60), self.end) for i in range(first, last)]
        skip = start - int(begins[first])
        return np.concatenate(pieces)[skip : skip + self.block].astype(np.int64)


class CausalLanguage(torch.nn.Module):
    """Mean cross-entropy of each next token."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        logits = self.model(input_ids=ids).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def causal_perplexity(
    module: CausalLanguage, feed: CausalFeed, device: torch.device, *, most: int | None = None
) -> float:
    """Exp of the mean loss over the feed's first epoch, or over `most` of its batches, where there are more."""
    was_training = module.training
    module.eval()
    with torch.no_grad():
        losses = [
            float(module(torch.from_numpy(feed.batch(number)["ids"]).to(device)))
            for number in range(min(feed.per_epoch, most or feed.per_epoch))
        ]
    module.train(was_training)
    return math.exp(min(float(np.mean(losses)), 700.0))
