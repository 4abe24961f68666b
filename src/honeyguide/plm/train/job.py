"""A job of the training loop: its weights and optimiser, its steps, looks and checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from honeyguide.errors import InvalidInput
from honeyguide.plm.train.checkpoint import Checkpoint, load_checkpoint, put_tensors, save_checkpoint
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import Piece, most_pieces, pieces, tokens_in
from honeyguide.plm.train.memory import NoRoom, give_back, is_out_of_memory, said, told_when_full
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Joint, Losses, Term

_LOG = logging.getLogger(__name__)
_SMALLER = "lower max_tokens, or take a smaller model"
_ADAMW = ("what AdamW needs for each weight", "take a smaller model, or train less of it, with adapters")
_TOGETHER = "Several processes do not halve batches: choose smaller ones, and accumulate as many more of them"

Evaluate = Callable[[], Mapping[str, float]]
"""Figures on held-out data; the first one decides what is best, the lower the better."""


@dataclass
class Standing:
    """What a job knows beside its weights; goes into the checkpoint."""

    step: int = 0
    best_step: int = 0
    best: float | None = None
    worse: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    halvings: int = 0
    looked: int = 0
    """The last step after which all that was due was done, a look included."""


class Job:
    """Holds what a job has of weights and optimiser; `Standing`, which is passed in, is all else that it knows."""

    def __init__(
        self,
        terms: Sequence[Term],
        schedule: Schedule,
        place: Place,
        folder: Path,
        key: str,
        backward: Backward,
        clock: Callable[[], float],
    ) -> None:
        if not terms:
            raise InvalidInput("there is nothing to learn: give at least one objective")
        self._terms, self._schedule, self._place = tuple(terms), schedule, place
        self._folder, self._key, self._backward, self._clock = folder, key, backward, clock
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
            groups, lr=schedule.learning_rate, fused=place.device.type in ("cpu", "cuda")
        )
        self._make_room()
        self._best: dict[str, torch.Tensor] = {}
        self._stored: int | None = None
        self._tokens, self._seconds = 0, 0.0

    def _make_room(self) -> None:
        """For what AdamW remembers of each weight: halving batches helps with the rest, but not with this."""
        with told_when_full(*_ADAMW):
            for parameter in self._learned.values():
                self._optimiser.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                    "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
                }

    @property
    def tokens_per_second(self) -> float:
        """Of the last step: its passes and its update, not what else was done between two steps."""
        return self._tokens / max(self._seconds, 1e-9)

    def step(self, standing: Standing) -> dict[str, float]:
        """Learn from the batches of one step; its figures."""
        began, before = self._clock(), standing.halvings
        losses = self._gradients(standing)
        self._seconds = self._clock() - began
        due = standing.step > 0 and standing.step % self._schedule.checkpoint_every == 0
        # not before now: what gives a finite loss is worth going on from; and a job that was halved need not run out
        # of memory again when it is killed
        if (due and standing.step != self._stored) or standing.halvings > before:
            self.store(standing)
        began = self._clock()
        rate = self._update(standing.step)
        self._seconds += self._clock() - began
        halved = {"halvings": float(standing.halvings)} if standing.halvings else {}
        return {**losses, "learning_rate": rate, **halved}

    def _gradients(self, standing: Standing) -> dict[str, float]:
        """Those of a step, in pieces as small as memory asks for; the mean losses."""
        self._module.train()
        while True:
            try:
                return self._pass_over(standing.step, standing.halvings)
            except NoRoom as error:
                told, divisible = str(error), error.divisible
            # only out here has the error let go of what it held
            self._halve(standing, told, divisible=divisible)

    def _halve(self, standing: Standing, told: str, *, divisible: bool) -> None:
        self._optimiser.zero_grad(set_to_none=True)
        give_back(self._place.device)
        if not divisible:
            raise InvalidInput(f"{told}. It cannot be cut any smaller: {_SMALLER}")
        if self._place.world > 1:
            raise InvalidInput(f"{told}. {_TOGETHER}")
        standing.halvings += 1
        step, parts = standing.step + 1, 2**standing.halvings
        _LOG.warning("%s. From step %d on every batch is passed over in %d parts", told, step, parts)

    def _pass_over(self, step: int, halvings: int) -> dict[str, float]:
        self._optimiser.zero_grad(set_to_none=True)
        self._tokens = 0
        numbers = self._numbers(step)
        totals: dict[str, float] = {}
        for number in numbers:
            losses = self._learn(number, halvings, ends=number == numbers[-1])
            if not math.isfinite(losses["loss"]):
                raise self._runaway(f"at step {step + 1} {_bad_losses(losses)} in batch {number}")
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + loss / len(numbers)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._learned.values() if p.grad is not None])
        if not math.isfinite(norm):
            raise self._runaway(f"at step {step + 1} {self._bad_gradients(numbers)}")
        torch.nn.utils.clip_grads_with_norm_(self._learned.values(), self._schedule.clip, norm)
        return totals

    def _numbers(self, step: int) -> list[int]:
        """The batches of a step."""
        count, place = self._schedule.accumulate, self._place
        return [(step * count + part) * place.world + place.rank for part in range(count)]

    def _learn(self, number: int, halvings: int, *, ends: bool) -> dict[str, float]:
        """Add the gradients of a batch of each objective; its losses."""
        torch.manual_seed(_mix(self._schedule.seed, number))  # dropout is a function of the batch's number
        whole = {term.name: term.feed.batch(number) for term in self._terms}
        cut = [pieces(term.feed, whole[term.name], 2**halvings) for term in self._terms]
        self._tokens += sum(tokens_in(batch) for batch in whole.values())
        totals: dict[str, float] = {}
        parts = list(zip_longest(*cut))
        for place, part in enumerate(parts):
            given = {
                term.name: piece for term, piece in zip(self._terms, part, strict=True) if piece is not None
            }
            try:
                losses = self._pass(given, ends=ends and place == len(parts) - 1)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                divisible = any(
                    most_pieces(term.feed, whole[term.name]) > 2**halvings for term in self._terms
                )
                raise NoRoom(number, said(error), divisible=divisible) from None
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + float(loss.detach())
        return totals

    def _pass(self, given: Mapping[str, Piece], *, ends: bool) -> Losses:
        """Forward and backward over a piece of each objective's batch."""
        device = self._place.device
        batches = {
            name: {k: torch.from_numpy(v).to(device) for k, v in piece.batch.items()}
            for name, piece in given.items()
        }
        shares = {name: piece.share for name, piece in given.items()}
        told = () if set(shares.values()) == {1.0} else (shares,)
        quiet = self._wrapped.no_sync if isinstance(self._wrapped, DistributedDataParallel) else nullcontext
        half = self._place.dtype == torch.bfloat16

        def losses(*, last: bool = True) -> Losses:
            with (
                nullcontext() if last and ends else quiet(),
                torch.autocast(device.type, torch.bfloat16, enabled=half),
            ):
                found: Losses = self._wrapped(batches, *told)
            return found

        return self._backward(losses, self._module, 1 / self._schedule.accumulate)

    def _update(self, step: int) -> float:
        """Move the weights; the learning rate."""
        rate = self._schedule.rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with told_when_full(*_ADAMW):
            self._optimiser.step()
        return rate

    def _bad_gradients(self, numbers: Sequence[int]) -> str:
        names = [
            name for name, p in self._learned.items() if p.grad is not None and not p.grad.isfinite().all()
        ]
        first = f", that of {names[0].removeprefix('terms.')} for one" if names else ""
        objectives = ", ".join(term.name for term in self._terms)
        batches = f"batch {numbers[0]}" if len(numbers) == 1 else f"batches {numbers[0]} to {numbers[-1]}"
        return f"the gradient of {objectives} is not finite in {batches}{first}"

    def _runaway(self, told: str) -> InvalidInput:
        kept = "No checkpoint was stored yet"
        if self._stored is not None:
            kept = f"The checkpoint of step {self._stored} is the last good one and is kept"
        return InvalidInput(
            f"{told}. {kept}. Choose a lower learning_rate, with which the job begins anew; if that does not "
            "help, look at what is learned from"
        )

    def look(self, evaluate: Evaluate, standing: Standing) -> dict[str, float]:
        """Measure on held-out data and keep the weights where they are the best so far."""
        self._module.eval()
        with torch.no_grad():
            told = [dict(evaluate())]
        if self._place.world > 1:  # what one of them saw decides for all, or they would not end together
            torch.distributed.broadcast_object_list(told, src=0)
        figures = told[0]
        value = next(iter(figures.values()))
        if math.isfinite(value) and (standing.best is None or value < standing.best):
            standing.best, standing.best_step, standing.worse = value, standing.step, 0
            self._best = {name: t.detach().to("cpu", copy=True) for name, t in self._learned.items()}
        else:
            standing.worse += 1
        return figures

    def store(self, standing: Standing) -> None:
        """Write a checkpoint, on the process that leads; weights that are not finite are not worth it."""
        if not all(bool(p.isfinite().all()) for p in self._learned.values()):
            raise self._runaway(f"the weights are not finite after step {standing.step}")
        self._stored = standing.step
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
            "halvings": standing.halvings,
            "looked": standing.looked,
        }
        save_checkpoint(self._folder, Checkpoint(standing.step, tensors, state), key=self._key)

    def _changing(self) -> dict[str, torch.Tensor]:
        """What training changes: frozen parameters come back from where the model came from."""
        return {**self._learned, **dict(self._module.named_buffers())}

    def resume(self) -> Standing:
        """Go on from the newest checkpoint, or begin."""
        found = load_checkpoint(self._folder, key=self._key)
        if found is None:
            return Standing()
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimiser": {}, "best": {}}
        for name, tensor in found.tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        put_tensors(self._changing(), parts["model"])
        for name, tensor in parts["optimiser"].items():
            key, parameter = name.split(".", 1)
            self._optimiser.state[self._learned[parameter]][key] = tensor.to(self._place.device)
        self._best = parts["best"]
        self._stored = found.step
        state = found.state
        halvings = int(state.get("halvings", 0))  # those of before there were any have none
        if halvings and self._place.world > 1:
            raise InvalidInput(_TOGETHER)
        history = [(int(step), dict(figures)) for step, figures in state["history"]]
        looked = int(state.get("looked", found.step))
        return Standing(
            found.step, state["best_step"], state["best"], state["worse"], history, halvings, looked
        )

    def put_best(self) -> None:
        """Write the best weights back, where any were kept."""
        with torch.no_grad():
            for name, tensor in self._best.items():
                self._learned[name].copy_(tensor)
        self._module.eval()


def _bad_losses(losses: Mapping[str, float]) -> str:
    bad = [name for name, loss in losses.items() if name != "loss" and not math.isfinite(loss)]
    told = ", ".join(f"{name} is {losses[name]}" for name in bad)
    return f"the loss of {told}" if bad else f"the weighted sum of losses is {losses['loss']}"


def _mix(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
