"""Teaching a model to put what matters most first, so that the first components of a vector are vectors too.

Matryoshka representation learning (Kusupati et al. 2022); `truncation` makes the smaller encoders.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.objectives.contrastive import Contrastive, in_batch_loss


class Matryoshka(torch.nn.Module):
    """The contrastive loss at several dims at once, each counting by its weight; takes the same batches."""

    def __init__(self, inner: Contrastive, weights: Mapping[int, float]) -> None:
        super().__init__()
        dim = int(inner.base.config.hidden_size)
        if not weights or not all(1 <= size <= dim and weight > 0 for size, weight in weights.items()):
            raise InvalidInput(f"dims must lie in 1..{dim} and their weights above 0, got {dict(weights)}")
        self.inner = inner
        self.weights = {size: weight / sum(weights.values()) for size, weight in weights.items()}

    def forward(
        self,
        first: torch.Tensor,
        first_mask: torch.Tensor,
        second: torch.Tensor,
        second_mask: torch.Tensor,
        banned: torch.Tensor,
        log_q: torch.Tensor,
    ) -> torch.Tensor:
        """The weighted mean of the losses, a scalar."""
        a, b = self.inner.vectors(first, first_mask), self.inner.vectors(second, second_mask)
        popularity = log_q if self.inner.correct else None
        losses = [
            weight
            * in_batch_loss(_cut(a, size), _cut(b, size), banned, popularity, self.inner.scores.temperature)
            for size, weight in self.weights.items()
        ]
        return torch.stack(losses).sum()


def _cut(vectors: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors[:, :size], dim=1)
