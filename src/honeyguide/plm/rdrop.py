"""R-Drop: two passes through dropout must say the same (Liang et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch

from honeyguide.errors import InvalidInput


class RDrop(torch.nn.Module):
    """The mean loss of two passes and, `alpha` times, how far apart the distributions of `source` are in them.

    `module` is any objective, and `source` the part of it whose outputs (n, classes) are the logits of a softmax: the
    last layer of a head, or `scores` of the contrastive objective. Apart is the mean of the two Kullback-Leibler
    divergences. While nothing is learned, and where nothing is dropped, the loss is the objective's own.
    """

    def __init__(self, module: torch.nn.Module, source: torch.nn.Module, *, alpha: float = 1.0) -> None:
        super().__init__()
        if not alpha >= 0:
            raise InvalidInput(f"alpha must be at least 0, got {alpha}")
        if not any(part is source for part in module.modules()):
            raise InvalidInput("source must be a part of the module: it is where the logits come from")
        self.module, self.alpha = module, alpha
        self._source = [
            source
        ]  # in a list: the part belongs to the module already, and must not be stored twice

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        if not self.training:
            alone: torch.Tensor = self.module(**batch)
            return alone
        first, one = self._told(batch)
        second, other = self._told(batch)
        apart = torch.stack([_apart(a, b) for a, b in zip(one, other, strict=True)]).mean()
        return (first + second) / 2 + self.alpha * apart

    def _told(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        logits: list[torch.Tensor] = []

        def note(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:  # noqa: ANN401
            logits.append(output)

        handle = self._source[0].register_forward_hook(note)
        try:
            loss: torch.Tensor = self.module(**batch)
        finally:
            handle.remove()
        if not logits:
            raise InvalidInput("source gave no logits in this pass: choose the part that the loss comes from")
        return loss, logits


def _apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    a, b = one.float().log_softmax(-1), other.float().log_softmax(-1)
    return ((a.exp() - b.exp()) * (a - b)).sum(-1).mean() / 2
