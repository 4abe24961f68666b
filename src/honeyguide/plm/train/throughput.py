"""How fast a job learns: tokens a second, and what share of a GPU's peak its model needs for them (MFU).

Model FLOPs utilisation is that of Chowdhery et al. (2022, appendix B): what the model cannot do without, over what
the device could have done in that time. Recomputed activations and padding do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from honeyguide.errors import InvalidInput

_BFLOAT16, _FLOAT16, _FLOAT32 = torch.bfloat16, torch.float16, torch.float32

# dense products a second as the vendor's data sheets have them: half precision on tensor cores, summed in float32;
# float32 without tensor cores, as PyTorch multiplies it unless told otherwise
_PEAKS: tuple[tuple[str, dict[torch.dtype, float]], ...] = (
    (r"H100 80GB HBM3|H100 SXM|H200", {_BFLOAT16: 989e12, _FLOAT16: 989e12, _FLOAT32: 67e12}),
    (r"H100 PCIe", {_BFLOAT16: 756e12, _FLOAT16: 756e12, _FLOAT32: 51e12}),
    (r"A100", {_BFLOAT16: 312e12, _FLOAT16: 312e12, _FLOAT32: 19.5e12}),
    (r"A10", {_BFLOAT16: 125e12, _FLOAT16: 125e12, _FLOAT32: 31.2e12}),
    (r"L40S", {_BFLOAT16: 362e12, _FLOAT16: 362e12, _FLOAT32: 91.6e12}),
    (r"L4", {_BFLOAT16: 121e12, _FLOAT16: 121e12, _FLOAT32: 30.3e12}),
    (r"T4", {_FLOAT16: 65e12, _FLOAT32: 8.1e12}),
    (r"V100-SXM2", {_FLOAT16: 125e12, _FLOAT32: 15.7e12}),
    (r"V100-PCIE", {_FLOAT16: 112e12, _FLOAT32: 14e12}),
    (r"RTX 4090", {_BFLOAT16: 165e12, _FLOAT16: 165e12, _FLOAT32: 82.6e12}),
    (r"RTX 3090", {_BFLOAT16: 71e12, _FLOAT16: 71e12, _FLOAT32: 35.6e12}),
)
_OTHERS = re.compile(
    r"\b(NVL|MIG|Laptop|Max-Q|Ti|D)\b"
)  # a part of a card, or another one of nearly its name


def peak_flops(device_name: str, dtype: torch.dtype) -> float | None:
    """Operations a second that a card of this name, as CUDA tells it, can do at best; None where it is not known."""
    if _OTHERS.search(device_name):
        return None
    for name, peaks in _PEAKS:
        if re.search(rf"\b({name})\b", device_name):
            return peaks.get(dtype)
    return None


def flops_per_token(parameters: int, layers: int, dim: int, length: float, *, passes: int = 3) -> float:
    """What a token of a text of `length` tokens costs: 2 a parameter, and 4 x layers x dim x length for attention.

    `parameters` without those of embeddings. `passes` are 1 forward, and 1 each for the gradients of activations and
    of weights: 3 when all is trained, the 6 x parameters + 12 x layers x dim x length of the paper.
    """
    return passes * (2.0 * parameters + 4.0 * layers * dim * length)


def model_flops(model: Any, length: float, *, passes: int = 3) -> float:  # noqa: ANN401
    """`flops_per_token` of a transformer of the transformers library."""
    embedded = {
        id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)
    }  # a decoder that is tied to them is left out with them
    parameters = sum(p.numel() for p in model.parameters() if id(p) not in embedded)
    config = model.config
    return flops_per_token(parameters, config.num_hidden_layers, config.hidden_size, length, passes=passes)


def mfu(tokens_per_second: float, flops: float, device: torch.device, dtype: torch.dtype) -> float | None:
    """Share of the device's peak, from `flops` a token; None on a processor and where the peak is not known."""
    if device.type != "cuda":
        return None
    peak = peak_flops(torch.cuda.get_device_name(device), dtype)
    return None if peak is None else tokens_per_second * flops / peak


class Speed:
    """A tracker that remembers how fast the steps were."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note the step's speed."""
        self._seen.append(figures["tokens_per_second"])

    def close(self) -> None:
        """Hold nothing back."""

    @property
    def tokens_per_second(self) -> float:
        """The median of all steps but the first few, in which a device warms up."""
        if not self._seen:
            raise InvalidInput("no step was logged yet: give this tracker to the job that is to be measured")
        return float(np.median(self._seen[min(3, len(self._seen) - 1) :]))
