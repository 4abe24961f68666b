"""How long and how fast a job learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from honeyguide.errors import InvalidInput


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
    stop: int = 0
    """Steps after which it ends, at the rates of one that goes on to all `steps`; 0 takes them all."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.accumulate < 1 or self.checkpoint_every < 1 or self.patience < 1:
            raise InvalidInput("steps, accumulate, checkpoint_every and patience must be at least 1")
        if not self.learning_rate > 0:
            raise InvalidInput(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.stop <= self.steps:
            raise InvalidInput(f"stop must lie in 0..{self.steps}, the steps, got {self.stop}")

    @property
    def last(self) -> int:
        """How many steps are taken."""
        return self.stop or self.steps

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        warmup = max(1, round(self.warmup_share * self.steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))
