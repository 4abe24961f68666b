"""What a job learns: objectives with their feeds and weights, and how gradients are had of their losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.train.feeds import Feed


@dataclass(frozen=True, slots=True)
class Term:
    """One objective: `module.forward(**batch)` gives its loss, which counts `weight` times.

    Instead it may give named figures, its loss among them as `loss`: the others are told, and not learned from.
    """

    name: str
    module: torch.nn.Module
    feed: Feed
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise InvalidInput(f"the weight of {self.name} must be above 0, got {self.weight}: leave it out")


class Joint(torch.nn.Module):
    """All objectives as one module, so that one backward pass reaches what they share."""

    def __init__(self, terms: Sequence[Term]) -> None:
        super().__init__()
        self.terms = torch.nn.ModuleDict({term.name: term.module for term in terms})
        self.weights = {term.name: term.weight for term in terms}

    def forward(
        self,
        batches: Mapping[str, Mapping[str, torch.Tensor]],
        shares: Mapping[str, float] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Each objective's loss and, as `loss`, their weighted sum, of the objectives that there are batches of.

        Losses, and what is told beside them, are multiplied by `shares`, where those are given.
        """
        losses: dict[str, torch.Tensor] = {}
        beside: dict[str, torch.Tensor] = {}
        for name, batch in batches.items():
            found = self.terms[name](**batch)
            told = dict(found) if isinstance(found, Mapping) else {"loss": found}
            if shares is not None:
                told = {figure: shares[name] * value for figure, value in told.items()}
            losses[name] = told.pop("loss")
            beside |= told
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return {**losses, **beside, "loss": total}


Losses = dict[str, torch.Tensor]


class Pass(Protocol):
    """Computes the losses of a batch, as often as it is asked to."""

    def __call__(self, *, last: bool = True) -> Losses:
        """`last` must be False in all passes but the last one: only there do several devices tell each other."""
        ...


Backward = Callable[[Pass, torch.nn.Module, float], Losses]
"""Given how to compute the losses, the module and a factor: add the gradients of factor x loss to the parameters."""


def plain(losses: Callable[[], Losses], module: torch.nn.Module, factor: float) -> Losses:
    """One forward and one backward pass."""
    found = losses()
    (factor * found["loss"]).backward()  # type: ignore[no-untyped-call]
    return found
