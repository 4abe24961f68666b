"""Safe files: immutable versions of safetensors and JSON behind an atomic pointer.

    models/taxonomy/3f9c2a71d0be/manifest.json     format number, sha256 and size of each file
    models/taxonomy/3f9c2a71d0be/arrays.safetensors
    models/taxonomy/CURRENT                        {"version": "3f9c2a71d0be", "previous": "..."}

A version is the hash of what it holds, so equal content has an equal version. Nothing is ever loaded that
is not byte for byte what its manifest says (`DamagedArtifact`), and a failed save leaves what was there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as dump_arrays

from honeyguide.errors import DamagedArtifact, InvalidInput, NoArtifact
from honeyguide.types import State

FORMAT = 1
ARRAYS = "arrays.safetensors"
MANIFEST = "manifest.json"
POINTER = "CURRENT"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One loaded version: named arrays, JSON metadata, and the folder of any further files."""

    name: str
    version: str
    arrays: State
    meta: dict[str, Any]
    folder: Path


def save(
    root: Path,
    name: str,
    arrays: State,
    meta: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    *,
    point: bool = True,
) -> str:
    """Store a new version of `name` under `root`, point to it unless told not to, and return the version."""
    # safetensors writes an array's memory as it lies, so a transposed view would come back scrambled
    rows_first = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    contents = {ARRAYS: dump_arrays(rows_first), **(files or {})}
    manifest = {
        "format": FORMAT,
        "name": name,
        "files": {
            file: {"sha256": _sha256(data), "bytes": len(data)} for file, data in sorted(contents.items())
        },
        "meta": dict(meta),
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
    version = _sha256(text)[:12]
    home = root / name
    home.mkdir(parents=True, exist_ok=True)
    _write_version(home, version, {**contents, MANIFEST: text})
    if point:
        activate(root, name, version)
    return version


def load(root: Path, name: str, version: str | None = None) -> Artifact:
    """The current (or the given) version of `name`, verified; NoArtifact, DamagedArtifact."""
    chosen = version or current(root, name)
    folder = root / name / chosen
    manifest = _read_manifest(folder, chosen)
    for file, facts in manifest["files"].items():
        _verify(folder / file, facts["sha256"])
    try:
        arrays = parse_arrays((folder / ARRAYS).read_bytes())
    except SafetensorError as error:
        raise DamagedArtifact(f"{folder / ARRAYS}: {error}. {_REMEDY}") from None
    return Artifact(name, chosen, arrays, manifest["meta"], folder)


def load_if_made_from(root: Path, name: str, key: str) -> Artifact | None:
    """The current version where its metadata says it was made from `key`; None where it has to be made anew."""
    try:
        artifact = load(root, name)
    except (NoArtifact, DamagedArtifact):
        return None
    return artifact if artifact.meta.get("key") == key else None


def load_last_good(root: Path, name: str) -> tuple[Artifact, DamagedArtifact | None]:
    """The current version, or the previous one together with what is wrong with the current."""
    pointer = _read_pointer(root, name)
    try:
        return load(root, name, pointer["version"]), None
    except DamagedArtifact as damage:
        if not pointer.get("previous"):
            raise
        return load(root, name, pointer["previous"]), damage


def current(root: Path, name: str) -> str:
    """The version that `name` points to; NoArtifact where there is none."""
    return str(_read_pointer(root, name)["version"])


def previous(root: Path, name: str) -> str | None:
    """The version that `name` pointed to before; None where it pointed to no other."""
    found = _read_pointer(root, name).get("previous")
    return None if found is None else str(found)


def repoint(root: Path, name: str, moved: Mapping[str, str | None]) -> None:
    """Name other versions in the pointer of `name`, where `moved` has others for them; None names none."""
    pointer = _read_pointer(root, name)
    said = {key: moved.get(pointer.get(key) or "", pointer.get(key)) for key in ("version", "previous")}
    if said != pointer:
        write_atomically(root / name / POINTER, json.dumps(said).encode())


def exists(root: Path, name: str) -> bool:
    """Whether any version of `name` has been made."""
    return (root / name / POINTER).exists()


def versions(root: Path, name: str) -> list[str]:
    """All stored versions, sorted."""
    home = root / name
    return (
        sorted(entry.name for entry in home.iterdir() if (entry / MANIFEST).exists()) if home.exists() else []
    )


def activate(root: Path, name: str, version: str) -> None:
    """Point `name` to a stored version; it is verified first, so a damaged one is refused."""
    load(root, name, version)
    try:
        previous = _read_pointer(root, name)
    except (NoArtifact, DamagedArtifact):  # a damaged pointer must not bar the save that mends it
        previous = {}
    if previous.get("version") == version:
        return
    text = json.dumps({"version": version, "previous": previous.get("version")})
    write_atomically(root / name / POINTER, text.encode())


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` with `data` so that a reader or a crash sees the old or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def key_of(*parts: object) -> str:
    """A hash of what something is made of: equal parts have an equal key."""
    return _sha256(json.dumps(parts, sort_keys=True, default=str).encode())


def file_hash(path: Path) -> str:
    """The sha256 of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have the disk hold `path` (a file or a folder) before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def pack_strings(strings: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Strings as arrays: all their UTF-8 bytes, and the (n + 1,) offsets between them."""
    blobs = [string.encode("utf-8", "surrogatepass") for string in strings]
    offsets = np.cumsum([0, *map(len, blobs)], dtype=np.int64)
    return np.frombuffer(b"".join(blobs), dtype=np.uint8), offsets


def unpack_strings(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    """What `pack_strings` packed."""
    blob = data.tobytes()
    return [blob[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets.tolist())]


_REMEDY = "It was not loaded; restore the file from a backup or make it anew with: honeyguide fit"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_version(home: Path, version: str, contents: Mapping[str, bytes]) -> None:
    final = home / version
    if final.exists():
        if all(
            (final / file).exists() and (final / file).read_bytes() == data for file, data in contents.items()
        ):
            return
        shutil.rmtree(final)  # the same version with damaged bytes: what we hold in memory is the sound copy
    staging = Path(tempfile.mkdtemp(dir=home, prefix=".staging-"))
    try:
        for file, data in contents.items():
            if "/" in file or file.startswith("."):
                raise InvalidInput(f"an artefact's file name must be plain, got {file!r}")
            with open(staging / file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        sync(staging)  # the names of the files, or a power cut leaves a version without them
        os.replace(staging, final)
        sync(home)
        sync(home.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _read_pointer(root: Path, name: str) -> dict[str, Any]:
    path = root / name / POINTER
    try:
        pointer = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NoArtifact(
            f"there is no {name!r} under {root} yet. Run: honeyguide fit {root.parent}"
        ) from None
    except ValueError as error:
        raise DamagedArtifact(f"{path}: not JSON: {error}. {_REMEDY}") from None
    if not isinstance(pointer, dict) or not isinstance(pointer.get("version"), str):
        raise DamagedArtifact(f"{path}: does not name a version. {_REMEDY}")
    return pointer


def _read_manifest(folder: Path, version: str) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError:
        raise DamagedArtifact(f"{path}: cannot be read. {_REMEDY}") from None
    if _sha256(text)[:12] != version:
        raise DamagedArtifact(f"{path}: changed since it was written. {_REMEDY}")
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format"] > FORMAT:
        raise DamagedArtifact(
            f"{path}: format {manifest['format']} is newer than this Honeyguide reads ({FORMAT}). Upgrade it"
        )
    return manifest


def _verify(path: Path, sha256: str) -> None:
    try:
        digest = _sha256(path.read_bytes())
    except OSError:
        raise DamagedArtifact(f"{path}: cannot be read. {_REMEDY}") from None
    if digest != sha256:
        raise DamagedArtifact(
            f"{path}: damaged, its sha256 is {digest[:12]}... and should be {sha256[:12]}.... {_REMEDY}"
        )
