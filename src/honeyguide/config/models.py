"""Settings of the fits that are kept."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least, positive, within


@dataclass(frozen=True, slots=True)
class Models:
    """What was fitted, and how much of it is kept."""

    keep: int = 5
    """Fits that are kept, the newest ones, so that they can be taken back to; the one that serves is always kept."""

    canary: float = 0.0
    """The share of the users that a newer fit serves at first, until it is activated; 0 lets it serve all at once."""
    canary_hours: float = 1.0
    """A canary is judged by the pages of a user's first so many hours, and what they do within as many after each."""
    canary_most: float = 3.0
    """A user's reward counts up to this when a canary is judged: no single user says more."""

    def __post_init__(self) -> None:
        at_least(self, "keep", 2)
        within(self, "canary", 0, 0.99)
        positive(self, "canary_hours")
        positive(self, "canary_most")
