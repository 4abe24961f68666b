"""How much several losses count beside one another, where that follows from how they stand.

All is kept in logarithms, so that weights stay above 0; what is asked for is multiplied with what is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from honeyguide.interests.train.aims import EXPLOITATION
from honeyguide.interests.train.plan import Balance

GRADIENT, WEIGHT = "gradient of ", "weight of "
_RATE = 0.025  # the most that a logarithm moves in a step: the learning rate of GradNorm's paper
_PULL = 1.5  # how much those are favoured that learn slowly: GradNorm's alpha
_DUAL = 0.5  # the most that a logarithm moves at a look, at users held out
_LEAST = 1e-4  # nats: a loss of nothing would weigh infinitely much


class Weights(nn.Module):
    """The weights of named losses, the first being exploitation's, which is always 1.

    What moves them is in buffers, and so in checkpoints: `logs` (t,) of what is found, `first` (t,) losses as they
    were at the first step, 0 before.
    """

    logs: Tensor
    first: Tensor

    def __init__(self, balance: Balance, device: torch.device) -> None:
        super().__init__()
        self.names = (EXPLOITATION, *balance.asked)
        self._way = balance.weights
        self._asked = torch.tensor([1.0, *balance.asked.values()], device=device)
        self.register_buffer("logs", torch.zeros(len(self.names), device=device))
        self.register_buffer("first", torch.zeros(len(self.names), device=device))

    def forward(self) -> Tensor:
        """(t,): the weights."""
        return self._asked * (self.logs - self.logs[0]).exp()

    def heed(self, figures: Mapping[str, float]) -> None:
        """Move them by the losses of a step and, where they are measured, the lengths of their gradients."""
        if self._way not in ("uncertainty", "gradnorm"):
            return
        losses = self._of(figures, self.names).clamp_min(_LEAST)
        if not self.first.any():
            self.first.copy_(losses)
            if self._way == "uncertainty":
                self.logs.copy_(-losses.log())
        if self._way == "uncertainty":
            self.logs.sub_(certainty_step(self.logs, losses))
        else:
            lengths = self._of(figures, [GRADIENT + name for name in self.names])
            self.logs.add_(even_step(self.logs, lengths, losses / self.first))

    def dual(self, spent: float) -> None:
        """Move them by how much of what may be lost is `spent`: 0 is none of it, 1 all, more is too much."""
        self.logs[1:] += _DUAL * min(max(1 - spent, -1.0), 1.0)

    def _of(self, figures: Mapping[str, float], names: Sequence[str]) -> Tensor:
        return torch.tensor([figures[name] for name in names], device=self.logs.device)


def certainty_step(logs: Tensor, losses: Tensor) -> Tensor:
    """(t,): what to take from the logarithms of weights: gradient descent on the sum of weight x loss - log weight.

    It weighs a loss by the inverse of what is left of it (Kendall, Gal & Cipolla 2018, with log weight for -log
    sigma^2), so that a hundredth less of one is as good as a hundredth less of another.
    """
    return _RATE * (logs.exp() * losses - 1).clamp(-1, 1)


def even_step(logs: Tensor, lengths: Tensor, left: Tensor) -> Tensor:
    """(t,): what to add to the logarithms of weights, so that gradients get as long as GradNorm wants them.

    `lengths` are those of each loss's gradient, by the last weights that all share, and `left` which share of it is
    left: the more, the longer its gradient is to be beside the mean of all (Chen et al. 2018).
    """
    weighed = logs.exp() * lengths.clamp_min(1e-12)
    wanted = weighed.mean() * (left / left.mean()) ** _PULL
    return _RATE * (wanted / weighed).log().clamp(-1, 1)
