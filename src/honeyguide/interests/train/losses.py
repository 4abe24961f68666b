"""How what followed is told from what did not: three losses over negatives that a whole batch shares."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from honeyguide.interests.train.plan import SequencePlan

Asked = tuple[Tensor, Tensor, Tensor]
"""What was read (p, width), the vectors of what followed (p, width), and their bias (p,)."""
SequenceLoss = Callable[[Asked, Tensor, Tensor, Tensor], Tensor]
"""(asked, vectors (k, width) and bias (k,) of the negatives, which are what followed (p, k)) -> the mean loss."""

_NEVER = -1e9


def loss_named(plan: SequencePlan, items: int) -> SequenceLoss:
    """The loss of a plan, for a catalogue of so many items."""
    drawn = min(plan.negatives, items)
    if plan.loss == "gbce":
        return _Gbce(drawn, items, plan.calibration)
    return _Softmax(drawn, items)


class _Softmax:
    """Cross-entropy; each drawn negative stands for as many items as were not drawn (logQ: Bengio & Senécal 2008).

    Of cosines over a temperature, where what was read is given so, it is the contrastive loss.
    """

    def __init__(self, drawn: int, items: int) -> None:
        self.shift = math.log(items / drawn)

    def __call__(self, asked: Asked, vectors: Tensor, bias: Tensor, same: Tensor) -> Tensor:
        read, right, right_bias = asked
        true = (read * right).sum(1) + right_bias
        false = torch.addmm(bias + self.shift, read, vectors.T).masked_fill_(same, _NEVER)
        return (torch.logaddexp(true, false.logsumexp(1)) - true).mean()


class _Gbce:
    """Binary cross-entropy whose positive is weakened by how few negatives are drawn (Petrov & Macdonald 2023)."""

    def __init__(self, drawn: int, items: int, calibration: float) -> None:
        rate = drawn / max(items - 1, 1)
        self.power = rate * (calibration * (1 - 1 / rate) + 1 / rate)

    def __call__(self, asked: Asked, vectors: Tensor, bias: Tensor, same: Tensor) -> Tensor:
        read, right, right_bias = asked
        true = (read * right).sum(1) + right_bias
        false = torch.addmm(bias, read, vectors.T).masked_fill_(same, _NEVER)
        return (functional.softplus(-true) * self.power + functional.softplus(false).sum(1)).mean()
