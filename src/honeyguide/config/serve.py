"""Settings of the HTTP service."""

from __future__ import annotations

import re
from dataclasses import dataclass

from honeyguide.errors import InvalidSettings

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9a-fA-F:]+\](:\d+)?")


@dataclass(frozen=True, slots=True)
class Serve:
    """The HTTP service."""

    origins: tuple[str, ...] = ()
    """The sites whose pages may ask it from a browser, such as "https://shop.example"; its own always may."""

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise InvalidSettings(
                    f"an origin is https://HOST or https://HOST:PORT, no path, got {origin!r}"
                )
