"""Settings of the sequence model, which tells what a user takes next."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least, positive, within
from honeyguide.errors import InvalidSettings

BALANCES = ("none", "fixed", "uncertainty", "gradnorm", "lagrangian")
"""How the terms of the sequence model's loss may be weighed."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """The transformer over what users did."""

    steps: int = 1000
    """Steps of learning, at the most; 0 does without the model."""
    epochs: int = 40
    """Times that all events are learned from, at the most."""
    width: int = 64
    """Components of what is made of a user, and of an item."""
    blocks: int = 1
    """Layers of attention."""
    heads: int = 1
    """Attention heads in a layer; they divide the width."""
    longest: int = 50
    """The newest events of a user that are read."""
    loss: str = "softmax"
    """How what followed is told from what did not: softmax, gbce or contrastive."""
    negatives: int = 1024
    """Items that an event is told from; a catalogue of no more is taken whole."""
    memory: bool = True
    """Mix in what others took along with the user's items, as far as that finds more of what is held out."""
    dropout: float = 0.4
    """Of the network while it learns."""
    learning_rate: float = 2e-3
    """The highest learning rate of AdamW."""
    weight_decay: float = 1.0
    """How much weights are pulled to 0."""
    batch: int = 128
    """Users in a batch."""
    held_out: float = 0.1
    """The last baskets of this share of the users, at least of a thousand or a third, are not learned from; how they
    are found says when to stop and what to mix in."""
    policies: bool = False
    """Let policies see what is likely next. The pages they learn from are among what the model learned from, so it
    promises them too much: pages of the demo's shop then earn 0.9 % less."""
    balance: str = "none"
    """How more than what follows is learned: none, fixed, uncertainty, gradnorm or lagrangian, which keeps to
    (1 - epsilon) of what is found without."""
    coverage: float = 1.0
    """Under a balance, how much it counts that every item is likely to somebody; 0 does without."""
    calibration: float = 1.0
    """Under a balance, how much it counts that interests are likely in the proportion of a user's past; 0 does
    without."""
    patience: int = 10
    """It ends after this many looks at those without an improvement; it looks after each epoch."""

    def __post_init__(self) -> None:
        at_least(self, "steps", 0)
        for key in ("epochs", "width", "blocks", "heads", "longest", "negatives", "batch", "patience"):
            at_least(self, key, 1)
        positive(self, "learning_rate")
        for key in ("weight_decay", "coverage", "calibration"):
            at_least(self, key, 0)
        within(self, "dropout", 0, 0.99)
        within(self, "held_out", 0.001, 0.5)
        if self.width % self.heads:
            raise InvalidSettings(f"width must divide by heads, got {self.width} and {self.heads}")
        if self.loss not in ("softmax", "gbce", "contrastive"):
            raise InvalidSettings(f"loss must be softmax, gbce or contrastive, got {self.loss!r}")
        if self.balance not in BALANCES:
            raise InvalidSettings(f"balance must be one of {', '.join(BALANCES)}, got {self.balance!r}")
        if self.balance != "none" and not self.coverage + self.calibration > 0:
            raise InvalidSettings(
                f"coverage and calibration are 0, and balance is {self.balance!r}: raise one of them, or set none"
            )
