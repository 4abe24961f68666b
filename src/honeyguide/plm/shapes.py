"""Transformers that lack some heads and neurons: how config.json tells it, and how such a checkpoint is opened.

Hugging Face's own config knows one size for all layers. What is left of each layer stands there under a key of ours,
so whoever does not know that key is told by transformers that the weights do not fit, and reads nothing wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from honeyguide.errors import InvalidInput
from honeyguide.plm.files import WEIGHTS

_KEY = "columns_left"


@dataclass(frozen=True, slots=True)
class Part:
    """Something within every layer whose columns can go: those of `out`'s input, which the rows of `into` make.

    `width` columns go together: those of a head, or one for a neuron.
    """

    name: str
    into: tuple[str, ...]
    out: str
    width: int


@dataclass(frozen=True, slots=True)
class Site:
    """A part in one layer; `into` and `out` are names of linear maps from the root of the model."""

    layer: int
    part: str
    into: tuple[str, ...]
    out: str
    width: int


_HEADS = (
    (tuple(f"attention.self.{name}" for name in ("query", "key", "value")), "attention.output.dense"),  # BERT
    (tuple(f"attention.{name}_lin" for name in "qkv"), "attention.out_lin"),  # DistilBERT
)
_NEURONS = (
    (("intermediate.dense",), "output.dense"),  # BERT, RoBERTa, XLM-R, ELECTRA, MPNet
    (("ffn.lin1",), "ffn.lin2"),  # DistilBERT
    (("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj"),  # Llama, Mistral, Qwen, SmolLM
)


def sites(model: Any, *parts: str) -> tuple[Site, ...]:  # noqa: ANN401
    """The `heads` and the `neurons` of each layer of a transformer; InvalidInput where it is not known what they are.

    Heads that share something across layers, or keys among each other (MPNet, Llama), are not among them.
    """
    home = stack(model)
    layers = model.get_submodule(home)
    found = [part for part in _parts(model, layers[0]) if part.name in parts]
    if {part.name for part in found} != set(parts):
        raise InvalidInput(
            f"the {' and '.join(sorted(set(parts) - {part.name for part in found}))} of a {model.config.model_type} "
            "model are not known to be separable: choose a model like BERT, RoBERTa or DistilBERT"
        )
    return tuple(
        Site(
            place,
            part.name,
            tuple(f"{home}.{place}.{name}" for name in part.into),
            f"{home}.{place}.{part.out}",
            part.width,
        )
        for place in range(len(layers))
        for part in found
    )


def columns(model: Any, site: Site) -> int:  # noqa: ANN401
    """How many columns there are now."""
    return int(model.get_submodule(site.out).in_features)


def note_columns(model: Any) -> None:  # noqa: ANN401
    """Write into the model's config what is left of each layer, where that is not what the config says."""
    found = {site.out: columns(model, site) for site in _known_sites(model)}
    setattr(model.config, _KEY, found)


def open_model(kind: Any, folder: Path, config: Any, **options: Any) -> Any:  # noqa: ANN401
    """`kind.from_pretrained(folder)`, also where heads and neurons are gone."""
    left: dict[str, int] | None = getattr(config, _KEY, None)
    options = {"config": config, "use_safetensors": True, **options}
    if not left:
        return kind.from_pretrained(folder, **options)
    model = kind.from_pretrained(folder, ignore_mismatched_sizes=True, **options)
    base = model.base_model
    with safe_open(folder / WEIGHTS, "pt") as stored, torch.no_grad():
        names = list(stored.keys())
        for site in _known_sites(base):
            kept = torch.arange(left.get(site.out, columns(base, site)))
            take_columns(base, site, kept)
            for name in (*site.into, site.out):
                for parameter, tensor in base.get_submodule(name).named_parameters():
                    tensor.copy_(stored.get_tensor(_stored_as(f"{name}.{parameter}", names)))
    return model


def take_columns(model: Any, site: Site, kept: torch.Tensor) -> None:  # noqa: ANN401
    """Make the matrices of a site smaller: only its `kept` columns (indices, ascending) stay."""
    for name in site.into:
        linear = model.get_submodule(name)
        linear.weight = torch.nn.Parameter(linear.weight.detach()[kept.to(linear.weight.device)].clone())
        if linear.bias is not None:
            linear.bias = torch.nn.Parameter(linear.bias.detach()[kept.to(linear.bias.device)].clone())
        linear.out_features = len(kept)
    out = model.get_submodule(site.out)
    out.weight = torch.nn.Parameter(out.weight.detach()[:, kept.to(out.weight.device)].clone())
    out.in_features = len(kept)


def _known_sites(model: Any) -> tuple[Site, ...]:  # noqa: ANN401
    layers = model.get_submodule(stack(model))
    return sites(model, *(part.name for part in _parts(model, layers[0])))


def _parts(model: Any, layer: torch.nn.Module) -> Iterator[Part]:  # noqa: ANN401
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    for name, families, size in (("heads", _HEADS, width), ("neurons", _NEURONS, 1)):
        for into, out in families:
            if all(_has(layer, one) for one in (*into, out)):
                yield Part(name, into, out, size)
                break


def stack(model: Any) -> str:  # noqa: ANN401
    """The name of the list of a transformer's layers."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            return str(name)
    raise InvalidInput(f"this {model.config.model_type} model has no list of layers: choose a transformer")


def _has(module: torch.nn.Module, name: str) -> bool:
    try:
        module.get_submodule(name)
    except AttributeError:
        return False
    return True


def _stored_as(name: str, stored: list[str]) -> str:
    """What a base model's tensor is called in a file, where all of a larger model's are."""
    found = [one for one in stored if one == name or one.endswith(f".{name}")]
    if len(found) != 1:
        raise InvalidInput(f"this checkpoint has {len(found)} tensors {name}: it is not a whole one")
    return found[0]
