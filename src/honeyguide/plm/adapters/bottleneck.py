"""Bottleneck adapters: a narrow detour inside each layer that begins as nothing.

Houlsby et al. (2019) put one behind attention and one behind the feed-forward part, before what is carried past them
is added. Pfeiffer et al. (2020, MAD-X) put a single one behind the feed-forward part: it reads the layer's normed
output and adds to what goes into that last norm; where the norm comes first, as in Llama, it adds to the layer's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.adapters.sites import BOTTLENECKS, layers
from honeyguide.plm.adapters.way import Placed

Kind = Literal["houlsby", "pfeiffer"]
_Hook = Callable[[Any, Any, Any], Any]


class Detour(torch.nn.Module):
    """(..., dim) -> (..., dim): down to `width`, ReLU, and up; the way up begins at 0, so all of it as nothing."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down = torch.nn.Linear(dim, width)
        self.up = torch.nn.Linear(width, dim)
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """What is to be added."""
        added: torch.Tensor = self.up(torch.relu(self.down(hidden)))
        return added


class _Detours(torch.nn.ModuleDict):
    """The detours of all adapters at one place; `active` names the one that is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.active: str | None = None

    def taken(self) -> torch.nn.Module | None:
        return None if self.active is None else self[self.active]


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Two detours a layer (houlsby) or one (pfeiffer), `width` numbers narrow."""

    kind: Kind = "houlsby"
    width: int = 48

    def __post_init__(self) -> None:
        if self.kind not in ("houlsby", "pfeiffer"):
            raise InvalidInput(f"kind must be houlsby or pfeiffer, got {self.kind!r}")
        if self.width < 1:
            raise InvalidInput(f"width must be at least 1, got {self.width}")

    @property
    def name(self) -> str:
        """Its name."""
        return self.kind

    def settings(self) -> dict[str, Any]:
        """What it can be made from again."""
        return {"kind": self.kind, "width": self.width}

    def put_on(self, model: Any, adapter: str, *, steps: int) -> Placed:  # noqa: ANN401
        """Put the detours in; at first the model says to the bit what it said before."""
        places: dict[str, _Detours] = {}
        for layer in layers(model):
            if self.kind == "houlsby":
                places[layer.attention] = _detours(model, layer.attention, _add)
                places[layer.feed_forward] = _detours(model, layer.feed_forward, _add)
            elif layer.norm is not None:
                places[layer.norm] = _detours(model, layer.norm, _norm_again)
            else:
                places[layer.name] = _detours(model, layer.name, _add)
        for detours in places.values():
            detours[adapter] = Detour(int(model.config.hidden_size), self.width)
        for parameter in (p for detours in places.values() for p in detours[adapter].parameters()):
            parameter.data = parameter.data.to(model.device)
        return _Bottlenecks(places, adapter)


class _Bottlenecks(Placed):
    _places: tuple[_Detours, ...]

    def __init__(self, places: dict[str, _Detours], adapter: str) -> None:
        super().__init__(
            {
                f"{place}.{name}": parameter
                for place, detours in places.items()
                for name, parameter in detours[adapter].named_parameters()
            }
        )
        object.__setattr__(self, "_places", tuple(places.values()))
        self._adapter = adapter
        self.switch(True)

    def switch(self, on: bool) -> None:
        """Take the detours, or let nothing of them be felt."""
        for detours in self._places:
            if on or detours.active == self._adapter:
                detours.active = self._adapter if on else None


def _detours(model: Any, place: str, hook: _Hook) -> _Detours:  # noqa: ANN401
    """The detours at a place, which are made and hooked in where there are none yet."""
    module = model.get_submodule(place)
    if not hasattr(module, BOTTLENECKS):
        module.add_module(BOTTLENECKS, _Detours())
        # the hook finds the detours through the module it is called with: a copy of the model has copies of its own
        module.register_forward_hook(hook)
    found: _Detours = getattr(module, BOTTLENECKS)
    return found


def _add(module: Any, args: Any, output: Any) -> Any:  # noqa: ANN401
    detour = module.bottlenecks.taken()
    if detour is None:
        return output
    if isinstance(output, tuple):
        return (output[0] + detour(output[0]), *output[1:])
    return output + detour(output)


def _norm_again(module: Any, args: Any, output: Any) -> Any:  # noqa: ANN401
    detour = module.bottlenecks.taken()
    return output if detour is None else module.forward(args[0] + detour(output))
