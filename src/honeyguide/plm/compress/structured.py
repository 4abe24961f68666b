"""Taking heads and neurons out of a transformer, so that its matrices are smaller and it is faster.

What matters least goes: importance is how much the loss would change, to first order, if a head or a neuron were
gated (Michel et al. 2019; Molchanov et al. 2017). What stays is refitted so that it gives, on real texts, what all
gave together, a least-squares problem per layer (as in He et al. 2017), which needs no training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.compress.calibrate import input_grams, listening
from honeyguide.plm.shapes import Site, columns, note_columns, sites, take_columns
from honeyguide.plm.train.feeds import Batch

_RIDGE = 1e-4  # of the mean of the Gram matrix's diagonal: keeps it solvable where columns say the same


@dataclass(frozen=True, slots=True)
class Cut:
    """Which share of all heads and of all neurons goes."""

    heads: float = 0.0
    neurons: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= share < 1 for share in (self.heads, self.neurons)) or not self.heads + self.neurons:
            raise InvalidInput(
                f"shares must be at least 0, below 1 and not both 0, got {self.heads}, {self.neurons}"
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """What is cut."""
        return tuple(name for name in ("heads", "neurons") if getattr(self, name))


def importance(
    model: Any,  # noqa: ANN401
    found: Sequence[Site],
    objective: torch.nn.Module,
    batches: Iterable[Batch],
) -> dict[Site, torch.Tensor]:
    """By site: (groups,) float64, the mean over texts of |dL/dg| where g, of 1, multiplies a head or a neuron.

    `objective.forward(**batch)` gives the mean loss of a batch, of whatever `model` is the shared part of.
    """
    by_name = {site.out: site for site in found}
    totals = {site: torch.zeros(columns(model, site) // site.width, dtype=torch.float64) for site in found}
    gates: list[tuple[Site, torch.Tensor]] = []

    def gate(name: str, inputs: torch.Tensor) -> torch.Tensor:
        site = by_name[name]
        gates.append((site, inputs.new_ones(len(inputs), len(totals[site]), requires_grad=True)))
        return inputs * gates[-1][1].repeat_interleave(site.width, dim=1).unsqueeze(1)

    was_training, texts = objective.training, 0
    objective.eval()
    with listening(model, list(by_name), gate):
        for batch in batches:
            gates.clear()
            loss = objective(**{k: torch.from_numpy(v).to(model.device) for k, v in batch.items()})
            slopes = torch.autograd.grad(loss, [one for _, one in gates])
            for (site, one), slope in zip(gates, slopes, strict=True):
                # the loss is a mean over the batch: a text's own slope is as many times larger
                totals[site] += (slope.double().abs() * len(one)).sum(0).cpu()
            texts += len(gates[0][1])
    objective.train(was_training)
    if not texts:
        raise InvalidInput("there is no batch to judge importance by: give at least one")
    return {site: total / texts for site, total in totals.items()}


def choose(importances: Mapping[Site, torch.Tensor], share: float) -> dict[Site, torch.Tensor]:
    """By site: the groups that stay, ascending, when `share` of all goes; at least one stays in each layer.

    Layers are compared after each was scaled to norm 1, as gradients shrink from layer to layer.
    """
    scaled = {site: values / values.norm().clamp_min(1e-30) for site, values in importances.items()}
    spared = {site: int(values.argmax()) for site, values in scaled.items()}
    ranked = sorted(
        (float(value), order, group)
        for order, (site, values) in enumerate(scaled.items())
        for group, value in enumerate(values)
        if group != spared[site]
    )
    total = sum(len(values) for values in importances.values())
    gone = {(order, group) for _, order, group in ranked[: round(share * total)]}
    return {
        site: torch.tensor([group for group in range(len(values)) if (order, group) not in gone])
        for order, (site, values) in enumerate(importances.items())
    }


def prune(
    model: Any,  # noqa: ANN401
    cut: Cut,
    objective: torch.nn.Module,
    batches: Sequence[Batch],
    *,
    calibration: Sequence[torch.Tensor] = (),
) -> dict[Site, torch.Tensor]:
    """Take heads and neurons out of `model`, a transformer's base, for good; which groups of columns stayed, by site.

    With `calibration` (token ids, nothing padded) what stays is refitted layer by layer, first to last.
    """
    kept: dict[Site, torch.Tensor] = {}
    for part in cut.parts:
        found = sites(model, part)
        kept |= choose(importance(model, found, objective, batches), getattr(cut, part))
    for site in sorted(
        kept, key=lambda site: (site.layer, site.part)
    ):  # as they follow each other in a layer
        groups = kept[site]
        stay = (groups[:, None] * site.width + torch.arange(site.width)).reshape(-1)
        if calibration and len(stay) < columns(model, site):
            refit(model, site, stay, calibration)
        take_columns(model, site, stay)
    note_columns(model)
    return kept


def refit(model: Any, site: Site, stay: torch.Tensor, calibration: Iterable[torch.Tensor]) -> None:  # noqa: ANN401
    """Change the weights of the columns that stay, and the bias, to give nearly what all columns give."""
    gram = input_grams(model, [site.out], calibration)[site.out]
    linear = model.get_submodule(site.out)
    if linear.bias is None:
        gram = gram[:-1, :-1]
    whole = linear.weight.detach().double()
    if linear.bias is not None:
        whole = torch.cat([whole, linear.bias.detach().double()[:, None]], dim=1)
        stay = torch.cat([stay, torch.tensor([len(gram) - 1])])
    stay = stay.to(gram.device)
    inner = gram[stay][:, stay]
    inner = inner + _RIDGE * inner.diagonal().mean() * torch.eye(
        len(inner), dtype=inner.dtype, device=inner.device
    )
    fitted = torch.linalg.solve(inner, gram[stay] @ whole.T).T
    with torch.no_grad():
        if linear.bias is not None:
            linear.bias.copy_(fitted[:, -1])
            stay, fitted = stay[:-1], fitted[:, :-1]
        linear.weight[:, stay] = fitted.to(linear.weight.dtype)
