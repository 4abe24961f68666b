"""Ways of training: which parameters a task may change. All of them, none, or small ones put beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from honeyguide.errors import InvalidInput


class Placed(torch.nn.Module):
    """A way as it sits in a model. What it must remember as training goes on it keeps in buffers of its own.

    `own` are the parameters that alone have to be stored beside the base, by a name that does not depend on how the
    adapter is called.
    """

    own: Mapping[str, torch.nn.Parameter]

    def __init__(self, own: Mapping[str, torch.nn.Parameter]) -> None:
        super().__init__()
        object.__setattr__(self, "own", dict(own))  # the model holds them: they are not to be counted twice

    def penalty(self) -> torch.Tensor | None:
        """What the loss is raised by, a scalar; None where by nothing."""
        return None

    def after_step(self, step: int) -> None:
        """What has to be done after each step of the optimiser, counted from 1."""

    def switch(self, on: bool) -> None:
        """Let it work, or leave the base as it was."""

    def train_own(self, on: bool) -> None:
        """Whether its own parameters are learned."""
        for parameter in self.own.values():
            parameter.requires_grad_(on)

    def merge(self) -> None:
        """Fold it into the base, for good; InvalidInput where algebra does not allow it."""
        raise InvalidInput("this way of training cannot be merged: export the model with it instead")


class Way(Protocol):
    """Which parameters are trained, and how they come into the model."""

    @property
    def name(self) -> str:
        """What it is called in tables and files."""
        ...

    def settings(self) -> dict[str, Any]:
        """What it can be made from again."""
        ...

    def put_on(self, model: Any, adapter: str, *, steps: int) -> Placed:  # noqa: ANN401
        """Put an adapter of that name into the model, switched on; what was there before is neither moved nor frozen.

        `steps` is how long training will take; what is random comes from torch's generator.
        """
        ...


@dataclass(frozen=True, slots=True)
class Full:
    """Everything is trained."""

    @property
    def name(self) -> str:
        """Its name."""
        return "full"

    def settings(self) -> dict[str, Any]:
        """Nothing to be set."""
        return {}

    def put_on(self, model: Any, adapter: str, *, steps: int) -> Placed:  # noqa: ANN401
        """Everything that hidden states depend on is the task's own."""
        # the pooler stands behind the hidden states, which is all that is read: it would count and never learn
        return _Whole({n: p for n, p in model.named_parameters() if not n.startswith("pooler.")})


class _Whole(Placed):
    def switch(self, on: bool) -> None:
        if not on:
            raise InvalidInput("what was trained as a whole cannot be switched off: open the base again")

    def merge(self) -> None:
        """It is the base."""


@dataclass(frozen=True, slots=True)
class HeadOnly:
    """The transformer stays as it is: only the head is trained."""

    @property
    def name(self) -> str:
        """Its name."""
        return "head"

    def settings(self) -> dict[str, Any]:
        """Nothing to be set."""
        return {}

    def put_on(self, model: Any, adapter: str, *, steps: int) -> Placed:  # noqa: ANN401
        """Nothing of the transformer is the task's own."""
        return _Nothing({})


class _Nothing(Placed):
    def merge(self) -> None:
        """There is nothing to fold in."""
