"""The sequence model while it learns to do more than tell what followed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from honeyguide.interests.train.aims import (
    CALIBRATION,
    COVERAGE,
    EXPLOITATION,
    Interests,
    disproportion,
    uncovered,
)
from honeyguide.interests.train.module import SequenceModule
from honeyguide.interests.train.plan import Balance
from honeyguide.interests.train.weighing import GRADIENT, WEIGHT, Weights


class BalancedModule(nn.Module):
    """A module's own loss, `exploitation`, and what else is wanted, each beside its weight."""

    def __init__(self, module: SequenceModule, interests: Interests, balance: Balance) -> None:
        super().__init__()
        self.module, self._interests, self._balance = module, interests, balance
        self.weights = Weights(balance, module.bias.device)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Their weighted sum, `loss`, and all figures: losses, weights, and gradients where they are measured."""
        given = self.module.asked(**batch)
        (read, _, _), vectors, bias, _ = given
        # of negatives drawn evenly the chances are those of all items, up to chance
        chances = torch.addmm(bias, read, vectors.T).float().softmax(1)
        losses = {EXPLOITATION: self.module.loss(*given)}
        if COVERAGE in self.weights.names:
            losses[COVERAGE] = uncovered(chances)
        if CALIBRATION in self.weights.names:
            losses[CALIBRATION] = self._disproportion(chances, batch)
        weights = self.weights()
        total = (weights * torch.stack(list(losses.values()))).sum()
        told = {WEIGHT + name: weight for name, weight in zip(losses, weights, strict=True)}
        return {"loss": total, **losses, **told, **self._gradients(losses)}

    def heed(self, figures: Mapping[str, float]) -> None:
        """Weigh by the figures of a step."""
        self.weights.heed(figures)

    def _disproportion(self, chances: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        past = self._interests.past(batch["tokens"]).flatten(0, 1).index_select(0, batch["places"])
        of = torch.from_numpy(self._interests.of).to(chances.device)[batch["negatives"]]
        shares = chances @ nn.functional.one_hot(of, past.shape[1]).float()
        return disproportion(shares, past)

    def _gradients(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The length of each loss's gradient by the last layer of weights that all share."""
        if self._balance.weights != "gradnorm" or not torch.is_grad_enabled():
            return {}
        last = self.module.last
        return {
            GRADIENT + name: torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
            for name, loss in losses.items()
        }
