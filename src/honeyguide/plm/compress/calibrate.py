"""What flows through a model's linear maps on a few real texts: what pruning needs to know beside the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Special
from honeyguide.plm.batches import padded
from honeyguide.plm.tokens import Tokens

Hook = Callable[[str, torch.Tensor], torch.Tensor | None]
"""Given a linear map's name and its input; what it gives back, if anything, takes the input's place."""


def even_batches(tokens: Tokens, special: Special, *, limit: int, rows: int = 64) -> Iterator[torch.Tensor]:
    """(n, length) int64 token ids, special ones included: equally long texts together, so that nothing is padded."""
    lengths = np.minimum(tokens.lengths, limit - 2)
    order = np.argsort(lengths, kind="stable")
    for length in np.unique(lengths[lengths > 0]).tolist():
        same = order[lengths[order] == length]
        for first in range(0, len(same), rows):
            texts = [tokens.text(int(row), limit - 2) for row in same[first : first + rows]]
            ids, _ = padded(texts, first=special.first, last=special.last, pad=special.pad)
            yield torch.from_numpy(ids)


@contextmanager
def listening(model: Any, names: Sequence[str], hook: Hook) -> Iterator[None]:  # noqa: ANN401
    """Show `hook` what goes into each of these linear maps."""

    def listen(name: str) -> Any:  # noqa: ANN401
        def before(
            module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]
        ) -> tuple[torch.Tensor, ...] | None:
            changed = hook(name, inputs[0])
            return None if changed is None else (changed, *inputs[1:])

        return model.get_submodule(name).register_forward_pre_hook(before)

    handles = [listen(name) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def input_grams(model: Any, names: Sequence[str], batches: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ANN401
    """By linear map: (m + 1, m + 1) float64, the sum over tokens of x x' where x is its input and a 1."""
    found: dict[str, torch.Tensor] = {}

    def add(name: str, inputs: torch.Tensor) -> None:
        flat = inputs.detach().flatten(0, -2).double()
        flat = torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1)
        found[name] = found.get(name, 0) + flat.T @ flat

    _run(model, names, batches, add)
    return found


def input_norms(model: Any, names: Sequence[str], batches: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ANN401
    """By linear map: (m,) float64, the norm over all tokens of each component of its input."""
    squares: dict[str, torch.Tensor] = {}

    def add(name: str, inputs: torch.Tensor) -> None:
        squares[name] = squares.get(name, 0) + inputs.detach().flatten(0, -2).double().square().sum(0)

    _run(model, names, batches, add)
    return {name: square.sqrt() for name, square in squares.items()}


def _run(model: Any, names: Sequence[str], batches: Iterable[torch.Tensor], hook: Hook) -> None:  # noqa: ANN401
    was_training, seen = model.training, 0
    model.eval()
    try:
        with listening(model, names, hook), torch.no_grad():
            for ids in batches:
                there = ids.to(model.device)
                model(input_ids=there, attention_mask=torch.ones_like(there))
                seen += 1
    finally:
        model.train(was_training)
    if not seen:
        raise InvalidInput("there is no text to calibrate with: give some of the shop's")
