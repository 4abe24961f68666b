"""What earlier exports of a workspace wrote: only that may be replaced without being told to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import msgspec

from honeyguide.artifacts import write_atomically
from honeyguide.errors import InvalidInput

_Stamp: TypeAlias = tuple[int, int]
"""Size and time of the last change in nanoseconds: a file that somebody changed since is not ours any more."""


class Written:
    """The files at the paths of earlier exports, kept in one JSON file of the workspace's cache."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamps = _load(path)

    def check_free(self, out: Path, *, folder: bool, overwrite: bool) -> None:
        """InvalidInput unless `out` can be written without taking away what is not ours."""
        if out.is_dir() and not folder:
            raise InvalidInput(f"{out} is a folder: name the file to write, such as {out / 'export'}")
        if out.exists() and not out.is_dir() and folder:
            raise InvalidInput(f"{out} is a file: this format is several files, so name a folder")
        foreign = [] if overwrite else [path for path in _files(out) if not self._is_ours(path)]
        if foreign:
            raise InvalidInput(
                f"{foreign[0]} is already there, and no export of this shop wrote it or it was changed since: "
                "name another place, or say that it may be overwritten"
            )

    def remember(self, files: Iterable[Path]) -> None:
        """These were just written."""
        self._stamps = {name: stamp for name, stamp in self._stamps.items() if Path(name).is_file()}
        self._stamps |= {str(file.resolve()): _stamp(file) for file in files}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, msgspec.json.encode(self._stamps))

    def left_in(self, folder: Path, written: Iterable[Path]) -> list[Path]:
        """Files of an earlier export in `folder` that a later one, which wrote `written`, no longer has."""
        fresh = set(written)
        return [path for path in _files(folder) if path not in fresh and self._is_ours(path)]

    def _is_ours(self, path: Path) -> bool:
        return path.is_file() and self._stamps.get(str(path.resolve())) == _stamp(path)


def _load(path: Path) -> dict[str, _Stamp]:
    """Nothing where the cache was thrown away or damaged: then every file counts as somebody else's."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Stamp])
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}


def _files(out: Path) -> list[Path]:
    if out.is_dir():
        return sorted(out.iterdir())
    return [out] if out.exists() or out.is_symlink() else []


def _stamp(path: Path) -> _Stamp:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
