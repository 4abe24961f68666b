"""A canary: a release that serves a share of the users beside the one that serves, until it is taken over or back.

models/release/CANARY    {"number": 8, "share": 0.1, "since": "...", "taken_back": ""}
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from honeyguide.artifacts import write_atomically
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.shop import releases
from honeyguide.shop.split import Split

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True, slots=True)
class Canary:
    """Which release serves which share of the users, and since when."""

    number: int
    share: float
    since: datetime
    taken_back: str = ""
    """Why it serves nobody any more; empty as long as it serves."""

    @property
    def split(self) -> Split:
        """Who is served by it: each canary shares users out anew, and where one grows nobody leaves it."""
        name = f"canary {self.number} of {self.since:%Y-%m-%dT%H:%M:%S}"
        return Split(name, (STABLE, CANARY), (1.0 - self.share, self.share))


def read(models: Path) -> Canary | None:
    """The last canary, which may have been taken back; None where there is none; DamagedArtifact."""
    path = models / releases.RELEASE / releases.CANARY_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Canary)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DamagedArtifact(f"{path}: {error}. Remove it, and start the canary again") from None


def serving(models: Path) -> Canary | None:
    """The canary that is to serve now; None where there is none, or it was taken back; DamagedArtifact."""
    found = read(models)
    return None if found is None or found.taken_back else found


def start(models: Path, number: int, share: float, *, now: datetime) -> Canary:
    """Let a release serve a share of the users beside the one that serves; UnknownRelease, DamagedArtifact.

    Where it does already only the share changes. InvalidInput where it is the one that serves.
    """
    if not 0 < share < 1:
        raise InvalidInput(f"share must lie between 0 and 1, got {share:g}: to serve it to all, activate it")
    release, active = releases.get(models, number), releases.active(models)
    if active is None or active.number == number:
        raise InvalidInput(f"release {number} serves everybody: a canary is another one")
    releases.verify(models, release)
    before = serving(models)
    since = before.since if before is not None and before.number == number else now
    return _write(models, Canary(number, share, since))


def take_back(models: Path, canary: Canary, why: str) -> Canary:
    """Let it serve nobody any more, and say why; one that was replaced meanwhile is left as it is."""
    found = read(models)
    if found is None or (found.number, found.since) != (canary.number, canary.since) or found.taken_back:
        return canary
    return _write(models, replace(found, taken_back=why))


def _write(models: Path, canary: Canary) -> Canary:
    write_atomically(models / releases.RELEASE / releases.CANARY_FILE, msgspec.json.encode(asdict(canary)))
    return canary
