"""How a rival's training goes: its time without validation, its curve, when to stop, and which epoch was best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import SupportsFloat


@dataclass(frozen=True, slots=True)
class Point:
    """One epoch: seconds of training since the start, mean training loss, NDCG@10 on the validation items."""

    epoch: int
    seconds: float
    loss: float
    ndcg: float | None


@dataclass(slots=True)
class Progress:
    """Told of each batch and each epoch; says when it is enough. Only training counts as time, not validation."""

    epochs: int | None
    seconds: float | None
    patience: int | None
    validate: Callable[[], float] | None
    clock: Callable[[], float] = time.perf_counter
    curve: list[Point] = field(default_factory=list)
    sequences: int = 0
    trained_seconds: float = 0.0
    valid_seconds: float = 0.0
    best_epoch: int = 0
    _began: float = 0.0
    _losses: list[SupportsFloat] = field(default_factory=list)

    def begin(self) -> None:
        """An epoch starts."""
        self._began = self.clock()
        self._losses = []

    def batch(self, loss: SupportsFloat, sequences: int) -> bool:
        """A batch is done; whether the time is up. A loss is read when the epoch ends: a GPU would be waited for."""
        self.sequences += sequences
        self._losses.append(loss)
        return self.seconds is not None and self._elapsed() >= self.seconds

    def end(self) -> bool:
        """An epoch is done (or cut short): validates, prints a line, and says whether it is the best so far."""
        loss = sum(map(float, self._losses)) / max(len(self._losses), 1)
        self.trained_seconds = self._elapsed()
        self._began = self.clock()
        figure = self.validate() if self.validate else None
        self.valid_seconds += self.clock() - self._began
        point = Point(len(self.curve) + 1, self.trained_seconds, loss, figure)
        best = figure is None or not self.curve or figure > self._best()
        self.curve.append(point)
        if best:
            self.best_epoch = point.epoch
        shown = "" if figure is None else f"  validation NDCG@10 {figure:.4f}{' (best)' if best else ''}"
        print(
            f"epoch {point.epoch:>3}  {point.seconds:7.1f} s  {self.rate():7.0f} sequences/s  loss {loss:.4f}{shown}",
            flush=True,
        )
        return best

    def enough(self) -> bool:
        """Whether to stop after this epoch."""
        done = len(self.curve)
        return (
            (self.epochs is not None and done >= self.epochs)
            or (self.seconds is not None and self.trained_seconds >= self.seconds)
            or (
                self.patience is not None
                and self.validate is not None
                and done - self.best_epoch >= self.patience
            )
        )

    def rate(self) -> float:
        """Sequences a second of training."""
        return self.sequences / self.trained_seconds if self.trained_seconds else 0.0

    def _best(self) -> float:
        return max(point.ndcg for point in self.curve if point.ndcg is not None)

    def _elapsed(self) -> float:
        return self.trained_seconds + self.clock() - self._began
