"""Learning with what is wanted beside: all of it at once, or within a floor under what is found.

Which floor that is can be known only by learning without first. What was learned then is gone on from: the weights of
what is wanted rise while less is lost than may be, and fall while more is (the multiplier of a Lagrangian, by dual
ascent). What is lost is measured by NDCG on users held out, whose gradient there is none of, while the network learns
by the loss: a proxy for the one who descends, and the constraint itself for the one who ascends (Cotter, Jiang &
Sridharan 2019). Where nothing within the floor is better, it stays at what was learned without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from honeyguide.errors import InvalidInput
from honeyguide.interests.train.aims import HELD_OUT, Interests
from honeyguide.interests.train.balanced import BalancedModule
from honeyguide.interests.train.feed import SequenceFeed
from honeyguide.interests.train.module import SequenceModule
from honeyguide.interests.train.plan import Balance
from honeyguide.interests.train.weighing import Weights
from honeyguide.plm.track import Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.job import Evaluate
from honeyguide.plm.train.loop import Heed, Outcome, train, unheard
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from honeyguide.types import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """What learns from what, how long, where, and who is told."""

    module: SequenceModule
    feed: SequenceFeed
    schedule: Schedule
    place: Place
    folder: Path
    key: str
    tracker: Tracker | None
    progress: Progress


def learn_all(
    learning: Learning, judge: Evaluate | None, balance: Balance | None, interests: Interests | None
) -> Outcome:
    """Learn the module in place: alone, balanced, or balanced within the floor under what it found alone.

    InvalidInput where a floor is asked for and nobody is held out to tell what is found.
    """
    if balance is None or interests is None:
        return _learn(learning, learning.module, judge, unheard)
    balanced = BalancedModule(learning.module, interests, balance)
    if balance.weights != "lagrangian":
        return _learn(learning, balanced, judge, balanced.heed)
    if judge is None:
        raise InvalidInput("lagrangian weights need users held out, who tell what is found: hold some out")
    alone = _learn(learning, learning.module, judge, unheard)
    return _within_floor(learning, balanced, judge, balance, alone)


def _learn(
    learning: Learning, module: SequenceModule | BalancedModule, judge: Evaluate | None, heed: Heed
) -> Outcome:
    return train(
        [Term("sequences", module, learning.feed)],
        learning.schedule,
        place=learning.place,
        folder=learning.folder,
        key=learning.key,
        evaluate=judge,
        tracker=learning.tracker,
        heed=heed,
        progress=learning.progress,
    )


def _within_floor(
    learning: Learning, balanced: BalancedModule, judge: Evaluate, balance: Balance, alone: Outcome
) -> Outcome:
    """Go on from what was learned alone, for as many steps as that took at the most."""
    before = {name: p.detach().clone() for name, p in learning.module.named_parameters()}
    with torch.no_grad():
        floor = Floor(judge(), balance, balanced.weights)
    tracker = learning.tracker
    further = replace(
        learning,
        schedule=replace(learning.schedule, steps=max(alone.best_step, 1), seed=learning.schedule.seed + 1),
        folder=learning.folder / "balanced",
        tracker=None if tracker is None else _Onwards(tracker, alone.steps),
    )
    found = _learn(further, balanced, lambda: floor.look(judge()), balanced.heed)
    best_step = alone.steps + found.best_step
    if found.best is None or found.best >= floor.start:
        best_step = alone.best_step
        with torch.no_grad():
            for name, p in learning.module.named_parameters():
                p.copy_(before[name])
    history = [(alone.steps + step, figures) for step, figures in found.history]
    return Outcome(
        alone.steps + found.steps, best_step, found.best, (*alone.history, *history), found.halvings
    )


class Floor:
    """Judges by what is wanted while at least (1 - epsilon) of what was found `alone` is, and moves the weights."""

    def __init__(self, alone: Mapping[str, float], balance: Balance, weights: Weights) -> None:
        self._alone, self._balance, self._weights = alone["ndcg"], balance, weights
        self.start = self._unmet(alone)

    def look(self, figures: Mapping[str, float]) -> Mapping[str, float]:
        """The figures, first what is not met of what is wanted, which is worse than at the start below the floor."""
        spent = (self._alone - figures["ndcg"]) / max(self._balance.epsilon * self._alone, 1e-12)
        self._weights.dual(spent)
        unmet = self._unmet(figures) if spent <= 1 else self.start + spent
        return {"unmet": unmet, **figures, "spent": spent}

    def _unmet(self, figures: Mapping[str, float]) -> float:
        return sum(weight * figures[HELD_OUT + name] for name, weight in self._balance.asked.items())


class _Onwards:
    """A tracker that is told steps as those after so many others."""

    def __init__(self, tracker: Tracker, before: int) -> None:
        self._tracker, self._before = tracker, before

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note the figures of a step."""
        self._tracker.log(self._before + step, figures)

    def close(self) -> None:
        """Write out what is still held back."""
        self._tracker.close()
