"""Where in a transformer adapters sit, whatever family it is of: names of modules, not copies of their code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from honeyguide.errors import InvalidInput

BOTTLENECKS = "bottlenecks"
"""The name below which a module keeps the bottleneck adapters that work on it."""


@dataclass(frozen=True, slots=True)
class Family:
    """Within a layer: what ends attention, what ends the feed-forward part, and the norm after it where one is."""

    attention: str
    feed_forward: str
    norm: str | None


_FAMILIES = (
    Family("attention.output.dense", "output.dense", "output.LayerNorm"),  # BERT, RoBERTa, XLM-R, ELECTRA
    Family("attention.attn.o", "output.dense", "output.LayerNorm"),  # MPNet
    Family("attention.out_lin", "ffn.lin2", "output_layer_norm"),  # DistilBERT
    Family("self_attn.o_proj", "mlp.down_proj", None),  # Llama, Mistral, Qwen, Gemma, SmolLM
    Family("attn.Wo", "mlp.Wo", None),  # ModernBERT
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A transformer layer: its own name, and the names of the modules that `Family` speaks of, all from the root."""

    name: str
    attention: str
    feed_forward: str
    norm: str | None


def layers(model: Any) -> tuple[Layer, ...]:  # noqa: ANN401
    """The layers of a transformer, first to last; InvalidInput where its family is not known."""
    stack = _stack(model)
    first = model.get_submodule(f"{stack}.0")
    for family in _FAMILIES:
        wanted = [family.attention, family.feed_forward, *([family.norm] if family.norm else [])]
        if all(_has(first, name) for name in wanted):
            break
    else:
        raise InvalidInput(
            f"it is not known where adapters go in a {model.config.model_type} model: choose full training, or a "
            "model like BERT, RoBERTa, MPNet, DistilBERT, ModernBERT or Llama"
        )
    count = len(model.get_submodule(stack))
    return tuple(
        Layer(
            name,
            f"{name}.{family.attention}",
            f"{name}.{family.feed_forward}",
            f"{name}.{family.norm}" if family.norm else None,
        )
        for name in (f"{stack}.{place}" for place in range(count))
    )


def linears(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The names of all linear maps in the transformer's layers, adapters' own left out."""
    return tuple(dict.fromkeys(_linears(model)))


def _linears(model: Any) -> Iterator[str]:  # noqa: ANN401
    for layer in layers(model):
        for name, module in model.get_submodule(layer.name).named_modules():
            inside = {BOTTLENECKS, "base_layer"} | {f"lora_{part}" for part in "AB"}
            if hasattr(module, "base_layer") or (
                isinstance(module, torch.nn.Linear) and not inside & set(name.split("."))
            ):
                yield f"{layer.name}.{name}"


def _stack(model: Any) -> str:  # noqa: ANN401
    """The name of the list of layers: the longest that repeats one kind of module."""
    wanted = int(model.config.num_hidden_layers)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == wanted:
            return str(name)
    raise InvalidInput(
        f"this {model.config.model_type} model has no list of {wanted} layers to put adapters into"
    )


def _has(module: torch.nn.Module, name: str) -> bool:
    try:
        module.get_submodule(name)
    except AttributeError:
        return False
    return True
