"""Pruning single weights: the smallest become 0 and stay so, at once or little by little while training goes on.

The schedule is the cubic one of Zhu and Gupta (2017). With norms of what flows in, a weight counts as much as it
moves the output (Wanda: Sun et al. 2024), which is the better measure where nothing is trained afterwards.

Zeros make a file compress better and are what sparse kernels live on; they make nothing faster by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.shapes import stack

Masker = Callable[[Mapping[str, torch.Tensor], float], dict[str, torch.Tensor]]
"""Given how much each weight counts, by matrix, and the share to go: True where a weight stays."""

_BUFFER = "stays"


def over_all(scores: Mapping[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """The share that counts least among all matrices' weights goes, exactly so many."""
    flat = torch.cat([values.reshape(-1) for values in scores.values()])
    kept = torch.split(_largest(flat, share), [values.numel() for values in scores.values()])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, kept, strict=True)}


def in_each(scores: Mapping[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """The share that counts least within each matrix goes, exactly so many."""
    return {
        name: _largest(values.reshape(-1), share).reshape(values.shape) for name, values in scores.items()
    }


def _largest(values: torch.Tensor, share: float) -> torch.Tensor:
    kept = torch.ones(len(values), dtype=torch.bool, device=values.device)
    kept[torch.argsort(values, stable=True)[: round(share * len(values))]] = False
    return kept


@dataclass(frozen=True, slots=True)
class Gradual:
    """From which step to which the share rises to `share`, and after how many steps anew; 0 to 0 is at once."""

    share: float
    begin: int = 0
    end: int = 0
    every: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InvalidInput(f"share must lie between 0 and 1, got {self.share}")
        if not 0 <= self.begin <= self.end or self.every < 1:
            raise InvalidInput(
                f"begin must not lie after end, got {self.begin} and {self.end}, every {self.every}"
            )

    def at(self, step: int) -> float:
        """The share that is gone after that many steps."""
        if step >= self.end:
            return self.share
        done = max(0, step - self.begin) / (self.end - self.begin)
        return self.share * (1 - (1 - done) ** 3)

    def is_due(self, step: int) -> bool:
        """Whether the share rises at that step."""
        return self.begin <= step <= self.end and ((step - self.begin) % self.every == 0 or step == self.end)


class Pruning:
    """Holds pruned weights at 0: give `after_step` to the training loop, and call `finish` when it is through.

    What is pruned stands in a buffer beside each weight, which a job's checkpoint holds and the model's does not.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        how: Gradual,
        *,
        masker: Masker = over_all,
        norms: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self._matrices = dict(matrices(model))
        self._how, self._masker, self._norms = how, masker, norms
        for module in self._matrices.values():
            module.register_buffer(
                _BUFFER, torch.ones_like(module.weight, dtype=torch.bool), persistent=False
            )
        self.after_step(0)

    def after_step(self, step: int) -> None:
        """Prune on where that is due, and undo what the optimiser did to weights that are gone."""
        if self._how.is_due(step):
            self._choose(self._how.at(step))
        self._apply()

    def finish(self) -> None:
        """Prune to the end and let go: also where the weights that training kept are those of an earlier step."""
        self._choose(self._how.share)
        self._apply()
        for module in self._matrices.values():
            delattr(module, _BUFFER)

    def _choose(self, share: float) -> None:
        chosen = self._masker(self._scores(), share)
        for name, module in self._matrices.items():
            module.get_buffer(_BUFFER).copy_(chosen[name])

    def _scores(self) -> dict[str, torch.Tensor]:
        scores = {name: module.weight.detach().abs() for name, module in self._matrices.items()}
        if self._norms is None:
            return scores
        return {name: values * self._norms[name].to(values) for name, values in scores.items()}

    def _apply(self) -> None:
        with torch.no_grad():
            for module in self._matrices.values():
                module.weight.mul_(module.get_buffer(_BUFFER))


def matrices(model: Any) -> dict[str, torch.nn.Linear]:  # noqa: ANN401
    """By name, the linear maps of a transformer's layers: not its words, and no head on top."""
    base = getattr(model, "base_model", model)
    home = stack(base)
    found = {
        name: module
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith(f"{home}.")
    }
    if not found:
        raise InvalidInput("this model has no linear maps in layers: there is nothing to prune")
    return found


def share_of_zeros(model: Any) -> float:  # noqa: ANN401
    """How much of the matrices of a transformer's layers is 0."""
    weights = [module.weight for module in matrices(model).values()]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
