"""Settings of where decisions and feedback are kept."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.errors import InvalidSettings

_SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Journal:
    """Where decisions and feedback are kept."""

    store: str = ""
    """A PostgreSQL database, such as "postgresql://shop@db/shops?schema=honey"; empty for a file in the workspace."""

    def __post_init__(self) -> None:
        if self.store and not self.store.startswith(_SCHEMES):
            # what stands there is not repeated: it may hold a password
            raise InvalidSettings("store must be empty or begin with postgresql://")
