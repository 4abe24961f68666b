"""Teaching a language model a task: a head on top, and of the transformer as much as the way of training allows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.adapters.bank import Adapters
from honeyguide.plm.adapters.way import Placed, Way
from honeyguide.plm.backbone import Backbone
from honeyguide.plm.heads.head import E, Feeding, Head, Reader
from honeyguide.plm.track import Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import Feed
from honeyguide.plm.train.loop import Outcome, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Term, plain
from honeyguide.plm.tuned import Tuned
from honeyguide.types import Progress, silent


@dataclass(frozen=True, slots=True, eq=False)
class Split(Generic[E]):
    """Examples to learn from, and held-out ones that say which weights are the best and when to stop."""

    train: E
    validation: E | None = None


class Tuning(torch.nn.Module):
    """A transformer, what of it is trained, and a head, as one objective: `forward(**batch)` gives the loss."""

    def __init__(self, reader: Reader, placed: Placed, head: Head[Any]) -> None:
        super().__init__()
        self.reader, self.placed, self.head = reader, placed, head

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        loss = self.head.loss(self.reader, batch)
        penalty = self.placed.penalty()
        return loss if penalty is None else loss + penalty


def as_it_is(module: Tuning) -> torch.nn.Module:
    """The objective and nothing around it."""
    return module


def unchanged(feed: Feed) -> Feed:
    """The batches as they come."""
    return feed


@dataclass(frozen=True, slots=True)
class Regime:
    """How learning differs from plain learning: what is `around` the objective (R-Drop), how its batches are changed
    (`noisy`), and how gradients come about (adversarially, say).

    A checkpoint does not know of it: with another regime take another folder.
    """

    around: Callable[[Tuning], torch.nn.Module] = as_it_is
    noisy: Callable[[Feed], Feed] = unchanged
    backward: Backward = plain


@dataclass(frozen=True, slots=True, eq=False)
class FineTuned(Generic[E]):
    """A task that was taught, how it went, and what was trained.

    `validation` are the figures of the weights that were kept; `trained` of `total` parameters were learned, the
    head's among both.
    """

    tuned: Tuned[E]
    outcome: Outcome
    validation: Mapping[str, float]
    trained: int
    total: int

    @property
    def share(self) -> float:
        """Which part of all parameters was trained."""
        return self.trained / self.total


def finetune(
    backbone: Backbone,
    head: Head[E],
    examples: Split[E],
    way: Way,
    schedule: Schedule,
    *,
    place: Place,
    folder: Path,
    feeding: Feeding | None = None,
    adapters: Adapters | None = None,
    name: str = "task",
    regime: Regime | None = None,
    tracker: Tracker | None = None,
    progress: Progress = silent,
) -> FineTuned[E]:
    """Train `head` and, as `way` says, `backbone.model` in place; checkpoints lie in `folder`, as `train` keeps them.

    With validation examples the weights that score best are kept. `adapters` are those that are on this backbone
    already, to which one called `name` is added.
    """
    bank = adapters or Adapters(backbone.model.base_model)
    if bank.model is not backbone.model.base_model:
        raise InvalidInput(
            "adapters must be those of this backbone: make them with Adapters(backbone.model.base_model)"
        )
    cut = feeding or Feeding.of(backbone, seed=schedule.seed)
    how = regime or Regime()
    key = _key(bank, head, examples, way, schedule, cut)
    placed = bank.add(name, way, steps=schedule.steps, seed=schedule.seed)
    backbone.model.to(place.device)
    tuned = Tuned(backbone, bank, name, head, cut)
    tuning = Tuning(tuned.reader, placed, head)
    trained, total = _counted(tuning)
    term = Term(head.kind, how.around(tuning), how.noisy(head.feed(examples.train, cut)))
    outcome = train(
        [term], schedule, place=place, folder=folder, key=key,
        evaluate=None if examples.validation is None else _look(tuned, examples.validation), tracker=tracker,
        backward=how.backward, after_step=placed.after_step, progress=progress,
    )  # fmt: skip
    placed.train_own(False)
    return FineTuned(tuned, outcome, _best(outcome), trained, total)


def _look(tuned: Tuned[E], validation: E) -> Callable[[], Mapping[str, float]]:
    def look() -> Mapping[str, float]:
        figures = tuned.score(validation)
        return {"error": 1 - next(iter(figures.values())), **figures}

    return look


def _best(outcome: Outcome) -> Mapping[str, float]:
    found = dict(outcome.history).get(outcome.best_step, {}) if outcome.best is not None else {}
    rest = list(found)
    return {name: found[name] for name in rest[rest.index("error") + 1 :]} if "error" in found else {}


def _counted(tuning: Tuning) -> tuple[int, int]:
    """(trained, all) parameters that hidden states and the head depend on."""
    counted = [p for name, p in tuning.named_parameters() if ".pooler." not in name]
    return sum(p.numel() for p in counted if p.requires_grad), sum(p.numel() for p in counted)


def _key(
    bank: Adapters, head: Head[E], examples: Split[E], way: Way, schedule: Schedule, feeding: Feeding
) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    cut = [feeding.max_tokens, feeding.batch_tokens, feeding.rows, feeding.seed]
    told = [bank.base, head.about(), way.name, way.settings(), asdict(schedule), cut]
    digest = hashlib.sha256(json.dumps(told).encode())
    for array in head.arrays().values():
        digest.update(np.ascontiguousarray(array).tobytes())
    for part in (examples.train, examples.validation):
        for piece in _pieces(part):
            digest.update(hashlib.sha256(piece).digest())
    return digest.hexdigest()


def _pieces(examples: Any) -> Iterator[bytes]:  # noqa: ANN401
    if examples is not None:
        for field in fields(examples):
            value = getattr(examples, field.name)
            yield (
                value.tobytes()
                if isinstance(value, np.ndarray)
                else repr(value).encode("utf-8", "surrogatepass")
            )
