"""2:4 sparsity: of four weights in a row two are 0, which tensor cores multiply at up to twice the pace.

Mishra et al. (2021). The pattern is made and trained anywhere; only the kernels need such a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.compress.magnitude import matrices

_FOUR, _TWO = 4, 2
_LEAST_CAPABILITY = (8, 0)


def two_of_four(scores: Mapping[str, torch.Tensor], share: float = 0.5) -> dict[str, torch.Tensor]:
    """Of every four weights along a row the two that count most stay; equal ones by their place. A `Masker`."""
    if share != _TWO / _FOUR:
        raise InvalidInput(
            f"2:4 takes out half of the weights, neither more nor less: share must be 0.5, got {share}"
        )
    return {name: _pattern(values) for name, values in scores.items()}


def _pattern(values: torch.Tensor) -> torch.Tensor:
    rows, columns = values.shape
    if columns % _FOUR:
        raise InvalidInput(f"2:4 needs rows of a multiple of four weights, got {columns}")
    fours = values.reshape(rows, columns // _FOUR, _FOUR)
    order = torch.argsort(fours, dim=-1, descending=True, stable=True)
    kept = torch.zeros_like(fours, dtype=torch.bool).scatter_(-1, order[..., :_TWO], True)
    return kept.reshape(rows, columns)


def follows_two_four(weight: torch.Tensor) -> bool:
    """Whether at least two of every four weights along a row are 0."""
    rows, columns = weight.shape
    return columns % _FOUR == 0 and bool(
        ((weight.reshape(rows, columns // _FOUR, _FOUR) != 0).sum(-1) <= _TWO).all()
    )


def use_sparse_kernels(model: Any) -> int:  # noqa: ANN401
    """Hand the 2:4 matrices of a model in half precision on a GPU to its sparse kernels, for inference; how many.

    InvalidInput where there is no such GPU, or no such matrix.
    """
    found = matrices(model)
    device = next(iter(found.values())).weight.device
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        raise InvalidInput(
            "2:4 kernels need a CUDA device of compute capability 8.0 or above: move the model there"
        )
    fitting = [
        module
        for module in found.values()
        if module.weight.dtype in (torch.float16, torch.bfloat16) and follows_two_four(module.weight)
    ]
    if not fitting:
        raise InvalidInput(
            "no matrix is 2:4 sparse in half precision: prune with two_of_four, then call .half()"
        )
    for module in fitting:
        module.weight = torch.nn.Parameter(
            torch.sparse.to_sparse_semi_structured(module.weight.detach()), requires_grad=False
        )
    return len(fitting)
