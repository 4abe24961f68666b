"""Low-rank adapters through peft: LoRA (Hu et al. 2022), and AdaLoRA (Zhang et al. 2023), which moves ranks to where
they are worth most.

Both end up as numbers added to the base's own matrices, so they can be merged into it and cost nothing to serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from honeyguide.errors import InvalidInput, MissingExtra
from honeyguide.plm.adapters.sites import linears
from honeyguide.plm.adapters.way import Placed
from honeyguide.plm.export import quiet

_FEWEST_STEPS = 10
_ALLOCATIONS = 100


@dataclass(frozen=True, slots=True)
class Lora:
    """Every linear map of the layers gets a product of two thin matrices added, `alpha` / `rank` times."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check(self.rank, self.alpha, self.dropout)

    @property
    def name(self) -> str:
        """Its name."""
        return "lora"

    def settings(self) -> dict[str, Any]:
        """What it can be made from again."""
        return asdict(self)

    def put_on(self, model: Any, adapter: str, *, steps: int) -> Placed:  # noqa: ANN401
        """Wrap the linear maps; at first nothing is added."""
        try:
            from peft import LoraConfig
            from peft.tuners.lora import LoraModel
        except ImportError:
            raise MissingExtra("peft", "train") from None
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft says int and divides it
            lora_dropout=self.dropout,
            target_modules=list(linears(model)),
        )
        with quiet(), _as_it_was(model):
            tuner = LoraModel(model, {_marked(adapter): config}, _marked(adapter))
        return _LowRank(tuner, _marked(adapter))


@dataclass(frozen=True, slots=True)
class AdaLora:
    """Begins with `start` ranks for every linear map and ends with `rank` of them on average.

    Ranks are let go of between the first tenth and the half of training, those that the loss misses least; then they
    stay, and the rest is fine-tuned.
    """

    rank: int = 8
    start: int = 12
    alpha: float = 16.0
    dropout: float = 0.0
    orthogonal: float = 0.5
    """Weight of the penalty that keeps directions apart."""

    def __post_init__(self) -> None:
        _check(self.rank, self.alpha, self.dropout)
        if not self.start > self.rank:
            raise InvalidInput(
                f"start must be above rank ({self.rank}), got {self.start}: there is nothing to choose"
            )
        if not self.orthogonal >= 0:
            raise InvalidInput(f"orthogonal must be at least 0, got {self.orthogonal}")

    @property
    def name(self) -> str:
        """Its name."""
        return "adalora"

    def settings(self) -> dict[str, Any]:
        """What it can be made from again."""
        return asdict(self)

    def put_on(self, model: Any, adapter: str, *, steps: int) -> Placed:  # noqa: ANN401
        """Wrap the linear maps; at first nothing is added."""
        if steps < _FEWEST_STEPS:
            raise InvalidInput(
                f"AdaLoRA needs at least {_FEWEST_STEPS} steps to move ranks, got {steps}: choose Lora"
            )
        try:
            from peft import AdaLoraConfig
            from peft.tuners.adalora import AdaLoraModel
        except ImportError:
            raise MissingExtra("peft", "train") from None
        config = AdaLoraConfig(
            init_r=self.start,
            target_r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=list(linears(model)),
            total_step=steps,
            tinit=steps // 10,
            tfinal=steps // 2,
            deltaT=max(1, steps // _ALLOCATIONS),
        )
        with quiet(), _as_it_was(model):
            tuner = AdaLoraModel(model, {_marked(adapter): config}, _marked(adapter))  # type: ignore[no-untyped-call]
        config.inference_mode = True  # peft's way to say that another one may be added later
        return _Ranked(tuner, _marked(adapter), self.orthogonal)


@contextmanager
def _as_it_was(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Undo that peft freezes what is not its own."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    yield
    for parameter, learned in before:
        parameter.requires_grad_(learned)


def _marked(adapter: str) -> str:
    """The adapter's name for peft, which looks for names inside of names: no other name may hold it."""
    return f"<{adapter}>"


class _LowRank(Placed):
    _tuner: Any

    def __init__(self, tuner: Any, adapter: str) -> None:  # noqa: ANN401
        found = {
            name: parameter
            for layer, module in _tuned(tuner.model, adapter)
            for name, parameter in _parameters(layer, module, adapter)
        }
        super().__init__(found)
        object.__setattr__(self, "_tuner", tuner)  # it holds the model, which is not a part of this
        self._adapter = adapter
        self.switch(True)

    def switch(self, on: bool) -> None:
        """Let its products be added, or only the base speak."""
        with _as_it_was(self._tuner.model):  # peft couples what works with what is learned
            for _, module in _tuned(self._tuner.model, self._adapter):
                if on:
                    module.set_adapter(self._adapter)
                module.enable_adapters(on)

    def merge(self) -> None:
        """Add its products to the base's matrices and take the wrapping off."""
        with quiet():
            others = {name for _, m in _wrapped(self._tuner.model) for name in m.lora_A} - {self._adapter}
            if others:
                raise InvalidInput(
                    f"merging {self._adapter} would change the base under {', '.join(sorted(others))}: "
                    "load it alone onto a fresh base and merge it there"
                )
            self._tuner.merge_and_unload(adapter_names=[self._adapter])


class _Ranked(_LowRank):
    """AdaLoRA at work. What the allocator knows lies in buffers, so that a checkpoint holds it."""

    def __init__(self, tuner: Any, adapter: str, orthogonal: float) -> None:  # noqa: ANN401
        super().__init__(tuner, adapter)
        self._orthogonal = orthogonal
        for place, parameter in enumerate(self._judged().values()):
            self.register_buffer(f"mean_{place}", torch.zeros_like(parameter, requires_grad=False))
            self.register_buffer(f"spread_{place}", torch.zeros_like(parameter, requires_grad=False))
            self.register_buffer(f"kept_{place}", torch.ones(len(parameter), device=parameter.device))

    def penalty(self) -> torch.Tensor | None:
        """How far the directions are from being orthonormal."""
        gaps = []
        for name, parameter in self.own.items():
            if name.endswith(("lora_A", "lora_B")):
                product = parameter @ parameter.T if name.endswith("lora_A") else parameter.T @ parameter
                gaps.append(
                    torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device))
                )
        return self._orthogonal * torch.stack(gaps).mean()

    def after_step(self, step: int) -> None:
        """Judge every rank by its gradient, and let go of those that the budget of this step has no room for."""
        allocator, config = self._tuner.rankallocator, self._tuner.peft_config[self._adapter]
        names = list(self._judged())
        for place, name in enumerate(names):
            allocator.ipt[name] = getattr(
                self, f"mean_{place}"
            )  # peft begins anew where a name is not in this
            allocator.exp_avg_ipt[name] = getattr(self, f"mean_{place}")
            allocator.exp_avg_unc[name] = getattr(self, f"spread_{place}")
        singular = {name: place for place, name in enumerate(names) if "lora_E" in name}
        config.rank_pattern = {
            name: getattr(self, f"kept_{p}").bool().tolist() for name, p in singular.items()
        }
        self._tuner.update_and_allocate(step)
        for place, name in enumerate(names):
            if name in allocator.exp_avg_ipt:  # gone once the ranks are settled
                getattr(self, f"mean_{place}").copy_(allocator.exp_avg_ipt[name])
                getattr(self, f"spread_{place}").copy_(allocator.exp_avg_unc[name])
        for name, place in singular.items():
            kept = getattr(self, f"kept_{place}")
            kept.copy_(torch.tensor(config.rank_pattern[name], dtype=kept.dtype))

    def _judged(self) -> dict[str, torch.nn.Parameter]:
        """What the allocator looks at, by the names it uses."""
        own = {id(parameter) for parameter in self.own.values()}
        return {
            name: parameter
            for name, parameter in self._tuner.model.named_parameters()
            if id(parameter) in own
        }


def _check(rank: int, alpha: float, dropout: float) -> None:
    if rank < 1:
        raise InvalidInput(f"rank must be at least 1, got {rank}")
    if not alpha > 0:
        raise InvalidInput(f"alpha must be above 0, got {alpha}")
    if not 0 <= dropout < 1:
        raise InvalidInput(f"dropout must be at least 0 and below 1, got {dropout}")


def _wrapped(model: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module


def _tuned(model: Any, adapter: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    return ((name, module) for name, module in _wrapped(model) if adapter in module.lora_A)


def _parameters(layer: str, module: Any, adapter: str) -> Iterator[tuple[str, torch.nn.Parameter]]:  # noqa: ANN401
    """A layer's matrices of one adapter, by names in which the adapter's own does not occur."""
    for part in module.adapter_layer_names:
        holder = getattr(module, part)
        if adapter not in holder:
            continue
        found = holder[adapter]
        if isinstance(found, torch.nn.Parameter):
            yield f"{layer}.{part}", found
        else:
            yield from ((f"{layer}.{part}.{name}", p) for name, p in found.named_parameters())
