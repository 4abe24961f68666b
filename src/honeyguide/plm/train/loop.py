"""The one training loop: several objectives at once, on a processor or on GPUs, that a kill cannot make forget.

Everything random in a step comes from the seed and the number of its batch, so a checkpoint needs no generators: a
job that is killed and started again ends at the weights of one that never stopped, to the bit on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel

from honeyguide.errors import InvalidInput
from honeyguide.plm.track import NoTracker, Tracker
from honeyguide.plm.train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    put_tensors,
    save_checkpoint,
)
from honeyguide.plm.train.devices import Place
from honeyguide.types import Progress, silent

Batch = dict[str, NDArray[np.generic]]
"""What a module's `forward` takes, by argument name."""


class Feed(Protocol):
    """An endless row of batches in which each is found by its number alone."""

    def batch(self, number: int) -> Batch:
        """The batch of that number, from 0; the same whenever it is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Term:
    """One objective: `module.forward(**batch)` gives its loss, which counts `weight` times."""

    name: str
    module: torch.nn.Module
    feed: Feed
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise InvalidInput(f"the weight of {self.name} must be above 0, got {self.weight}: leave it out")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn: AdamW, warm-up to `learning_rate`, then a cosine down to a tenth of it."""

    steps: int
    learning_rate: float = 5e-5
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    accumulate: int = 1
    """Batches a step, of every objective and on every device."""
    eval_every: int = 0
    """Steps between two looks at held-out data; 0 looks at the end only."""
    patience: int = 3
    """Looks without an improvement after which it ends."""
    checkpoint_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.accumulate < 1 or self.checkpoint_every < 1 or self.patience < 1:
            raise InvalidInput("steps, accumulate, checkpoint_every and patience must be at least 1")
        if not self.learning_rate > 0:
            raise InvalidInput(f"learning_rate must be above 0, got {self.learning_rate}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        warmup = max(1, round(self.warmup_share * self.steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


class Joint(torch.nn.Module):
    """All objectives as one module, so that one backward pass reaches what they share."""

    def __init__(self, terms: Sequence[Term]) -> None:
        super().__init__()
        self.terms = torch.nn.ModuleDict({term.name: term.module for term in terms})
        self.weights = {term.name: term.weight for term in terms}

    def forward(self, batches: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Each objective's loss and, as `loss`, their weighted sum."""
        losses = {name: module(**batches[name]) for name, module in self.terms.items()}
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return {**losses, "loss": total}


Losses = dict[str, torch.Tensor]


class Pass(Protocol):
    """Computes the losses of a batch, as often as it is asked to."""

    def __call__(self, *, last: bool = True) -> Losses:
        """`last` must be False in all passes but the last one: only there do several devices tell each other."""
        ...


Backward = Callable[[Pass, torch.nn.Module, float], Losses]
"""Given how to compute the losses, the module and a factor: add the gradients of factor x loss to the parameters."""


def plain(losses: Callable[[], Losses], module: torch.nn.Module, factor: float) -> Losses:
    """One forward and one backward pass."""
    found = losses()
    (factor * found["loss"]).backward()  # type: ignore[no-untyped-call]
    return found


AfterStep = Callable[[int], None]
"""Called after each step of the optimiser with how many there were, the gradients still in place."""


def nothing(step: int) -> None:
    """Leave it at what the optimiser did."""


Evaluate = Callable[[], Mapping[str, float]]
"""Figures on held-out data; the first one decides what is best, the lower the better."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: the step of the weights that were kept, and all figures that were logged, by step."""

    steps: int
    best_step: int
    best: float | None
    history: tuple[tuple[int, Mapping[str, float]], ...] = field(repr=False)


@dataclass
class _Standing:
    """What a job knows beside its weights; goes into the checkpoint."""

    step: int = 0
    best_step: int = 0
    best: float | None = None
    worse: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def train(
    terms: Sequence[Term],
    schedule: Schedule,
    *,
    place: Place,
    folder: Path,
    key: str,
    evaluate: Evaluate | None = None,
    tracker: Tracker | None = None,
    backward: Backward = plain,
    after_step: AfterStep = nothing,
    progress: Progress = silent,
) -> Outcome:
    """Train the modules of `terms` in place, on from the newest checkpoint of the job `key` in `folder`.

    With `evaluate` they end as they were when its first figure was lowest. An interrupt stores a checkpoint first.
    What `after_step` has to remember between steps belongs into buffers of the modules: those are in the checkpoint.
    """
    job = _Job(terms, schedule, place, folder, key, backward)
    told = tracker if tracker is not None and place.leads else NoTracker()
    standing = job.resume()
    try:
        while standing.step < schedule.steps and standing.worse < schedule.patience:
            losses = job.step(standing.step)
            standing.step += 1
            after_step(standing.step)
            figures = {**losses, "learning_rate": schedule.rate(standing.step - 1)}
            if evaluate and _is_due(standing.step, schedule):
                figures |= job.look(evaluate, standing)
            standing.history.append((standing.step, figures))
            told.log(standing.step, figures)
            if standing.step % schedule.checkpoint_every == 0:
                job.store(standing)
            progress(standing.step, schedule.steps)
    except KeyboardInterrupt:
        job.store(standing)
        raise
    job.store(standing)
    job.put_best()
    progress(schedule.steps, schedule.steps)
    return Outcome(standing.step, standing.best_step, standing.best, tuple(standing.history))


def _is_due(step: int, schedule: Schedule) -> bool:
    return step == schedule.steps or bool(schedule.eval_every and step % schedule.eval_every == 0)


class _Job:
    def __init__(
        self,
        terms: Sequence[Term],
        schedule: Schedule,
        place: Place,
        folder: Path,
        key: str,
        backward: Backward,
    ) -> None:
        if not terms:
            raise InvalidInput("there is nothing to learn: give at least one objective")
        self._terms, self._schedule, self._place = tuple(terms), schedule, place
        self._folder, self._key, self._backward = folder, key, backward
        self._module = Joint(terms).to(place.device)
        self._wrapped: torch.nn.Module = self._module
        if place.world > 1:
            self._wrapped = DistributedDataParallel(self._module, find_unused_parameters=True)
        learned = {name: p for name, p in self._module.named_parameters() if p.requires_grad}
        if not learned:
            raise InvalidInput("no parameter of these modules can be trained: all are frozen")
        self._learned = learned
        # norms and biases are not pulled to 0: they are no weights of features
        decayed = [p for p in learned.values() if p.ndim > 1]
        others = [p for p in learned.values() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(
            groups, lr=schedule.learning_rate, fused=place.device.type == "cuda"
        )
        self._best: dict[str, torch.Tensor] = {}

    def step(self, number: int) -> dict[str, float]:
        """Learn from the batches of one step; the mean losses."""
        self._module.train()
        self._optimiser.zero_grad(set_to_none=True)
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.rate(number)
        share = 1 / self._schedule.accumulate
        totals: dict[str, float] = {}
        for part in range(self._schedule.accumulate):
            batch = (number * self._schedule.accumulate + part) * self._place.world + self._place.rank
            for name, loss in self._learn(batch, share, ends=part == self._schedule.accumulate - 1).items():
                totals[name] = totals.get(name, 0.0) + share * float(loss.detach())
        if not math.isfinite(totals["loss"]):
            raise InvalidInput(
                f"the loss is {totals['loss']} at step {number + 1}: choose a lower learning_rate"
            )
        torch.nn.utils.clip_grad_norm_(self._learned.values(), self._schedule.clip)
        self._optimiser.step()
        return totals

    def _learn(self, number: int, share: float, *, ends: bool) -> Losses:
        torch.manual_seed(_mix(self._schedule.seed, number))  # dropout is a function of the batch's number
        batches = {
            term.name: {
                k: torch.from_numpy(v).to(self._place.device) for k, v in term.feed.batch(number).items()
            }
            for term in self._terms
        }

        quiet = self._wrapped.no_sync if isinstance(self._wrapped, DistributedDataParallel) else nullcontext

        def losses(*, last: bool = True) -> Losses:
            with (
                nullcontext() if last and ends else quiet(),
                torch.autocast(
                    self._place.device.type, torch.bfloat16, enabled=self._place.dtype == torch.bfloat16
                ),
            ):
                found: Losses = self._wrapped(batches)
            return found

        return self._backward(losses, self._module, share)

    def look(self, evaluate: Evaluate, standing: _Standing) -> dict[str, float]:
        """Measure on held-out data and keep the weights where they are the best so far."""
        self._module.eval()
        with torch.no_grad():
            figures = dict(evaluate())
        value = next(iter(figures.values()))
        if standing.best is None or value < standing.best:
            standing.best, standing.best_step, standing.worse = value, standing.step, 0
            self._best = {name: t.detach().to("cpu", copy=True) for name, t in self._learned.items()}
        else:
            standing.worse += 1
        return figures

    def store(self, standing: _Standing) -> None:
        """Write a checkpoint, on the process that leads."""
        if not self._place.leads:
            return
        tensors = {f"model.{name}": tensor for name, tensor in self._changing().items()}
        for name, parameter in self._learned.items():
            for key, value in self._optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{key}.{name}"] = value
        tensors |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        state = {
            "best_step": standing.best_step,
            "best": standing.best,
            "worse": standing.worse,
            "history": standing.history,
        }
        save_checkpoint(self._folder, Checkpoint(standing.step, tensors, state), key=self._key)

    def _changing(self) -> dict[str, torch.Tensor]:
        """What training changes: frozen parameters come back from where the model came from."""
        return {**self._learned, **dict(self._module.named_buffers())}

    def resume(self) -> _Standing:
        """Go on from the newest checkpoint, or begin."""
        found = load_checkpoint(self._folder, key=self._key)
        if found is None:
            return _Standing()
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimiser": {}, "best": {}}
        for name, tensor in found.tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        put_tensors(self._changing(), parts["model"])
        for name, tensor in parts["optimiser"].items():
            key, parameter = name.split(".", 1)
            where = torch.device("cpu") if key == "step" else self._place.device
            self._optimiser.state[self._learned[parameter]][key] = tensor.to(where)
        self._best = parts["best"]
        state = found.state
        history = [(int(step), dict(figures)) for step, figures in state["history"]]
        return _Standing(found.step, state["best_step"], state["best"], state["worse"], history)

    def put_best(self) -> None:
        """Write the best weights back, where any were kept."""
        with torch.no_grad():
            for name, tensor in self._best.items():
                self._learned[name].copy_(tensor)
        self._module.eval()


def _mix(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
