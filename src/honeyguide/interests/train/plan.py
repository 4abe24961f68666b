"""How the sequence model is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.network import Shape

Loss = Literal["softmax", "gbce", "contrastive"]
Weighing = Literal["fixed", "uncertainty", "gradnorm", "lagrangian"]


@dataclass(frozen=True, slots=True)
class Balance:
    """What is wanted beside telling what followed, how much beside it, and who weighs them.

    `coverage` of the catalogue, and `calibration` of interests to those of a user's past; 0 does without. The weights
    are `fixed`, or these times what `uncertainty` or `gradnorm` finds. `lagrangian` learns without them first, and
    goes on as long as at least (1 - `epsilon`) of what was found then is found.
    """

    weights: Weighing = "fixed"
    coverage: float = 1.0
    calibration: float = 1.0
    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if min(self.coverage, self.calibration) < 0 or not self.asked:
            raise InvalidInput(
                "coverage and calibration must be at least 0 and one of them above: else leave the balance out"
            )
        if not 0 <= self.epsilon <= 1:
            raise InvalidInput(f"epsilon must lie in 0..1, got {self.epsilon}")
        if self.weights not in ("fixed", "uncertainty", "gradnorm", "lagrangian"):
            raise InvalidInput(
                f"weights must be fixed, uncertainty, gradnorm or lagrangian, got {self.weights!r}"
            )

    @property
    def asked(self) -> dict[str, float]:
        """What is wanted, and how much."""
        wanted = {"coverage": self.coverage, "calibration": self.calibration}
        return {name: weight for name, weight in wanted.items() if weight > 0}


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """How to learn it; `epochs` at the most, as many as are best for the users' events held out."""

    shape: Shape = field(default_factory=Shape)
    epochs: int = 40
    steps: int = 0
    """Steps at the most; 0 bounds epochs alone."""
    loss: Loss = "softmax"
    negatives: int = 1024
    """Items that an event is told from, the same for a whole batch; a catalogue of no more is taken whole."""
    temperature: float = 0.07
    """Of the contrastive loss, whose vectors have unit norm."""
    calibration: float = 0.75
    """How far gBCE undoes that negatives are drawn: 0 not at all, 1 wholly (its paper's t)."""
    dropout: float = 0.4
    forgotten: float = 0.0
    """How often an item's own vector is left out in a step, so that its content learns to stand in for it."""
    shrink: float = 0.0
    """Events of an item after which half of its own vector counts."""
    learning_rate: float = 2e-3
    weight_decay: float = 1.0
    batch: int = 128
    """Users in a batch."""
    look_every: int = 0
    """Steps between two looks at the events held out; 0 looks after every epoch."""
    patience: int = 10
    balance: Balance | None = None
    """What is wanted beside what followed; None wants nothing, and takes no time."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.negatives, self.batch, self.patience) < 1:
            raise InvalidInput("epochs, negatives, batch and patience must be at least 1")
        if not (0 <= self.dropout < 1 and 0 <= self.forgotten < 1 and 0 <= self.calibration <= 1):
            raise InvalidInput("dropout and forgotten must lie in 0..1, below 1, and calibration in 0..1")
        if (
            not (self.temperature > 0 and self.learning_rate > 0)
            or min(self.shrink, self.weight_decay, self.steps) < 0
        ):
            raise InvalidInput(
                "temperature and learning_rate must be above 0, shrink, weight_decay and steps at least 0"
            )
        if self.loss not in ("softmax", "gbce", "contrastive"):
            raise InvalidInput(f"loss must be softmax, gbce or contrastive, got {self.loss!r}")
