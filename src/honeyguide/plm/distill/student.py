"""A smaller transformer that begins as part of its teacher: some of its layers, and where wanted a narrower stream.

Layers that are spread evenly over the teacher's make the better beginning (Sanh et al. 2019); of a narrower one the
heads, neurons and components stay that weigh most.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone
from honeyguide.plm.shapes import Site, columns, sites, stack, take_columns


def spread(teacher: int, student: int) -> tuple[int, ...]:
    """For each of `student` layers the teacher's, from 0 on, that it stands for; the last stands for the last."""
    if not 1 <= student <= teacher:
        raise InvalidInput(f"a student has 1 to {teacher} layers of this teacher, got {student}")
    return tuple(round((place + 1) * teacher / student) - 1 for place in range(student))


def depth(backbone: Backbone) -> int:
    """How many layers a transformer has."""
    return int(backbone.model.config.num_hidden_layers)


def student_of(
    teacher: Backbone, *, layers: int | Sequence[int], width: int | None = None, seed: int = 0
) -> Backbone:
    """A student with so many of the teacher's layers, or with these (from 0 on), that shares nothing with it.

    `width` narrows hidden states, heads and neurons alike; it must be a multiple of a head's width.
    """
    kept = spread(depth(teacher), layers) if isinstance(layers, int) else tuple(layers)
    if not kept or not all(0 <= layer < depth(teacher) for layer in kept):
        raise InvalidInput(f"layers must lie in 0..{depth(teacher) - 1}, got {list(kept)}")
    model = copy.deepcopy(teacher.model).requires_grad_(True)
    _keep_layers(model, kept)
    if width is not None and width != teacher.dim:
        model = _narrowed(model, width, seed)
    return replace(teacher, model=model)


def _keep_layers(model: Any, kept: Sequence[int]) -> None:  # noqa: ANN401
    home = stack(model)
    layers = model.get_submodule(home)
    # a layer may be kept twice: each student's layer learns by itself
    own = torch.nn.ModuleList([copy.deepcopy(layers[place]) for place in kept])
    for place, layer in enumerate(own):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                setattr(module, "layer_idx", place)  # noqa: B010  (mypy knows no such attribute)
    parent, _, name = home.rpartition(".")
    setattr(model.get_submodule(parent), name, own)
    model.config.num_hidden_layers = len(kept)


def _narrowed(model: Any, width: int, seed: int) -> Any:  # noqa: ANN401
    config = copy.deepcopy(model.config)
    whole, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    if width % head or not head <= width < whole:
        raise InvalidInput(f"width must be a multiple of {head} (a head's) below {whole}, got {width}")
    neurons = "intermediate_size" if hasattr(config, "intermediate_size") else "hidden_dim"
    config.hidden_size, config.num_attention_heads = width, width // head
    setattr(config, neurons, getattr(config, neurons) * width // whole)
    for site in sites(model, "heads", "neurons"):
        groups = width // head if site.part == "heads" else getattr(config, neurons)
        take_columns(model, site, _heaviest(model, site, groups))
    words = model.get_input_embeddings().weight.detach()
    components = words.std(0).topk(width).indices.sort().values
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        small = type(model)(config)
    own = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, parameter in small.named_parameters(remove_duplicate=False):
            parameter.copy_(_cut(own[name], parameter.shape, components))
    return small


def _heaviest(model: Any, site: Site, groups: int) -> torch.Tensor:  # noqa: ANN401
    """The columns of the groups that let most through, ascending: what goes in times what comes out."""
    there = columns(model, site) // site.width
    into = model.get_submodule(site.into[-1]).weight.detach().reshape(there, -1).norm(dim=1)
    out = model.get_submodule(site.out).weight.detach().T.reshape(there, -1).norm(dim=1)
    kept: torch.Tensor = (into * out).topk(groups).indices.sort().values
    return (kept[:, None] * site.width + torch.arange(site.width)).reshape(-1)


def _cut(tensor: torch.Tensor, shape: torch.Size, components: torch.Tensor) -> torch.Tensor:
    """Heads and neurons have gone already, so wherever a size still differs it is the stream's."""
    for axis, size in enumerate(shape):
        if tensor.shape[axis] != size:
            tensor = tensor.index_select(axis, components)
    return tensor
