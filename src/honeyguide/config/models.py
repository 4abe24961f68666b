"""Settings of the fits that are kept."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least


@dataclass(frozen=True, slots=True)
class Models:
    """What was fitted, and how much of it is kept."""

    keep: int = 5
    """Fits that are kept, the newest ones, so that they can be taken back to; the one that serves is always kept."""

    def __post_init__(self) -> None:
        at_least(self, "keep", 2)
