"""Settings of where decisions and feedback are kept."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least
from honeyguide.errors import InvalidSettings

_SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Journal:
    """Where decisions and feedback are kept."""

    store: str = ""
    """A PostgreSQL database, such as "postgresql://shop@db/shops?schema=honey"; empty for a file in the workspace."""
    keep_days: float = 0.0
    """What is older is dropped by `honeyguide forget` and daily by `serve`; what was learned stays. 0 keeps all."""

    def __post_init__(self) -> None:
        at_least(self, "keep_days", 0)
        if self.store and not self.store.startswith(_SCHEMES):
            # what stands there is not repeated: it may hold a password
            raise InvalidSettings("store must be empty or begin with postgresql://")
