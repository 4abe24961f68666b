"""Releases: which versions of all parts of a shop belong together, so that a fit is taken over or back in one step.

    models/release/5d1f0c77ab31/manifest.json    {"number": 7, "parts": {"items": "3f9c...", ...}, "catalog": ...}
    models/release/CURRENT                       the release that serves

A part's own pointer says what the last fit made; a release's says what serves. The catalogue is among the parts, for
features mean something only with the items that they were made of.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from honeyguide import artifacts
from honeyguide.errors import DamagedArtifact, NotReady, UnknownRelease

RELEASE, CATALOG = "release", "catalog"
ITEMS, USERS, POLICY, TAXONOMY, ENCODER = "items", "users", "policy", "taxonomy", "encoder"
SEQUENCE, FORECAST, HEADS = "sequence", "forecast", "heads"
RELATED, TEXTS = "related", "texts"
PARTS = (ITEMS, USERS, POLICY, TAXONOMY, ENCODER, SEQUENCE, FORECAST, HEADS, RELATED, TEXTS)
ITEMS_FILE = "items.parquet"
CANARY_FILE = "CANARY"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Release:
    """What one fit made: versions of parts by their names, and the file of the catalogue as a part."""

    release_id: str
    """The version under which it is stored; an erasure changes it."""
    number: int
    """By what it is named: counts up from 1, and stays what it is."""
    made: datetime
    parts: Mapping[str, str]

    @property
    def model_version(self) -> str:
        """What decisions say that were made with it."""
        return f"{self.parts[ITEMS]}.{self.parts[POLICY]}"

    def items_file(self, models: Path) -> Path:
        """The catalogue that it was fitted on."""
        return models / CATALOG / self.parts[CATALOG] / ITEMS_FILE


def record(models: Path, items: Path, *, made: datetime) -> Release:
    """Make a release of what the parts' pointers name and of the catalogue in `items`; it does not serve yet.

    The one that is kept already where it is of the same parts.
    """
    catalog = artifacts.save(models, CATALOG, {}, {}, {ITEMS_FILE: items.read_bytes()}, point=False)
    parts = {name: artifacts.current(models, name) for name in PARTS if artifacts.exists(models, name)}
    parts[CATALOG] = catalog
    with _alone(models):
        kept = all_of(models)
        known = next((one for one in kept if one.parts == parts), None)
        return known or _store(models, max((one.number for one in kept), default=0) + 1, made, parts)


def all_of(models: Path) -> tuple[Release, ...]:
    """The releases that are kept, the newest first; one whose own file is damaged is left out."""
    found = []
    for version in artifacts.versions(models, RELEASE):
        try:
            found.append(_load(models, version))
        except DamagedArtifact:
            continue
    return tuple(sorted(found, key=lambda one: -one.number))


def active(models: Path) -> Release | None:
    """The release that serves; None where the shop was fitted before there were any; DamagedArtifact."""
    found = active_id(models)
    return None if found is None else _load(models, found)


def active_id(models: Path) -> str | None:
    """The id of the release that serves; None where the shop was fitted before there were any."""
    return artifacts.current(models, RELEASE) if artifacts.exists(models, RELEASE) else None


def get(models: Path, number: int) -> Release:
    """The release of this number; UnknownRelease names those that are kept."""
    kept = all_of(models)
    for one in kept:
        if one.number == number:
            return one
    named = ", ".join(str(one.number) for one in kept) or "none"
    raise UnknownRelease(f"there is no release {number}. Kept are, the newest first: {named}")


def activate(models: Path, number: int) -> Release:
    """Let this release serve everybody, once every file of it is found to be sound: a canary ends with that.

    UnknownRelease, DamagedArtifact.
    """
    with _alone(models):
        release = get(models, number)
        verify(models, release)
        artifacts.activate(models, RELEASE, release.release_id)
        (models / RELEASE / CANARY_FILE).unlink(missing_ok=True)
    return release


def roll_back(models: Path) -> Release:
    """Let the release before the one that serves serve again; NotReady where none is kept."""
    now = active(models)
    older = () if now is None else tuple(one for one in all_of(models) if one.number < now.number)
    if not older:
        serving = "the fit that serves" if now is None else f"release {now.number}"
        raise NotReady(f"nothing before {serving} is kept: there is nothing to roll back to")
    return activate(models, older[0].number)


def verify(models: Path, release: Release) -> None:
    """DamagedArtifact where a file of the release is not what it was when it was made."""
    for name, version in release.parts.items():
        artifacts.load(models, name, version)


def prune(models: Path, keep: int, *, spare: Collection[int] = ()) -> tuple[Release, ...]:
    """Remove all but the newest `keep` releases, the one that serves, and those to `spare`, with their parts."""
    with _alone(models):
        kept, served = all_of(models), active_id(models)
        gone = tuple(one for one in kept[keep:] if one.release_id != served and one.number not in spare)
        for one in gone:
            shutil.rmtree(models / RELEASE / one.release_id)
        artifacts.repoint(models, RELEASE, {one.release_id: None for one in gone})
        _sweep(models, [one for one in kept if one not in gone])
    return gone


def rewritten(models: Path, moved: Mapping[str, Mapping[str, str | None]]) -> None:
    """Let every release name other versions of parts, `moved` by the part's name and the version.

    A release of a part that has none any more (None) is removed. What no release and no pointer names goes, too.
    """
    with _alone(models):
        ids: dict[str, str | None] = {}
        for one in all_of(models):
            parts = {name: moved.get(name, {}).get(version, version) for name, version in one.parts.items()}
            if parts == one.parts:
                continue
            sound = {name: version for name, version in parts.items() if version is not None}
            whole = len(sound) == len(parts)
            ids[one.release_id] = _store(models, one.number, one.made, sound).release_id if whole else None
        if ids and artifacts.exists(models, RELEASE):  # nothing points where the first one is yet to serve
            artifacts.repoint(models, RELEASE, ids)
        for old in ids:
            shutil.rmtree(models / RELEASE / old)
        for name, versions in moved.items():
            artifacts.repoint(models, name, versions)
            for old, new in versions.items():
                if old != new:
                    shutil.rmtree(models / name / old)


def _store(models: Path, number: int, made: datetime, parts: Mapping[str, str]) -> Release:
    meta = {"number": number, "made": made.isoformat(), "parts": dict(parts)}
    return _load(models, artifacts.save(models, RELEASE, {}, meta, point=False))


def _load(models: Path, release_id: str) -> Release:
    meta = artifacts.load(models, RELEASE, release_id).meta
    made = datetime.fromisoformat(meta["made"])
    return Release(release_id, int(meta["number"]), made, MappingProxyType(meta["parts"]))


def _sweep(models: Path, kept: list[Release]) -> None:
    """Remove versions of parts that neither a release nor a pointer names."""
    for name in (*PARTS, CATALOG):
        named = {one.parts.get(name) for one in kept}
        if artifacts.exists(models, name):
            named |= {artifacts.current(models, name), artifacts.previous(models, name)}
        for version in artifacts.versions(models, name):
            if version not in named:
                shutil.rmtree(models / name / version)


@contextmanager
def _alone(models: Path) -> Iterator[None]:
    """Wait until no other process moves a pointer or removes a version, and keep others from it."""
    handle = os.open(models / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
