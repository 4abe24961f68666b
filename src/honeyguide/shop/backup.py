"""A backup: one file that holds a workspace and its journal as they stood at one moment, taken while it serves.

    honeyguide.toml, keys.json, data/..., models/..., reports/...    as they lie, in a tar file
    journal.db                                                       the journal, wherever it is kept
    contents-<sha256>.json                                           the last member: size and sha256 of all others

What `cache/` holds can be computed again and is left out. A file that was cut off has no last member.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from honeyguide import artifacts
from honeyguide.data.ingest import alone as importing
from honeyguide.errors import InvalidInput, JournalError, NotReady
from honeyguide.journal.open import is_url, open_journal
from honeyguide.journal.snapshot import snapshot
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.shop.workspace import Workspace

FORMAT = 1
JOURNAL = "journal.db"
_LEFT_OUT = ("cache",)
_TRIES = 3


class Member(msgspec.Struct, frozen=True):
    """A file of a backup."""

    sha256: str
    bytes: int


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int
    made: datetime
    decisions: int
    events: int
    items: int
    """Changes of items."""
    erased: int
    end: int
    """The last offset of the journal."""
    from_database: bool
    """Whether the journal was in a database: its entries came through the journal's protocol."""
    files: dict[str, Member]

    @property
    def entries(self) -> int:
        """How many journal entries there are, but for those of erased users."""
        return self.decisions + self.events + self.items


@dataclass(frozen=True, slots=True)
class _Moment:
    """What must not change while files are copied, or the copy would bring an erased user back."""

    versions: frozenset[str]
    erased: int


def back_up(
    workspace: Workspace,
    target: Path,
    *,
    made: datetime,
    store: Path | str | None = None,
    replace: bool = False,
) -> Contents:
    """Write the workspace and its journal to the file `target`, all of it or nothing, and say what it holds.

    It may be served meanwhile. `store` is where the journal is, in place of what [journal] store says; `replace`
    allows `target` to be there. InvalidInput, NotReady while a fit or an import runs, JournalError.
    """
    if target.is_dir() or (target.exists() and not replace):
        raise InvalidInput(f"{target} is already there: choose another file, or say --force to replace it")
    if workspace.root.resolve() in target.resolve().parents:
        raise InvalidInput(f"{target} lies in the workspace: a backup belongs on another disk")
    place = store or workspace.store
    with workspace.alone("fit"), importing(workspace.data), _temporary(target) as (copy, journal):
        for _ in range(_TRIES):
            before = _moment(workspace, place)
            journal.unlink(missing_ok=True)
            snapshot(place, journal)
            try:
                contents = _write(workspace, copy, journal, made, is_url(place))
            except FileNotFoundError:  # an erasure took a version away
                continue
            if _moment(workspace, place) == before:
                artifacts.sync(copy)
                copy.replace(target)
                artifacts.sync(target.parent)
                return contents
    raise NotReady(
        "users were erased while the backup was taken, each time: take it again when that is through"
    )


def count_journal(path: Path) -> tuple[int, int, int, int, int]:
    """Decisions, events, changes of items, places of who was erased, the last offset, of a journal; JournalError."""
    with closing(SqliteJournal(path)) as journal:
        counts = journal.counts()
        return counts.decisions, counts.events, counts.items, counts.erased, journal.end()


def _moment(workspace: Workspace, place: Path | str) -> _Moment:
    found = workspace.models.glob(f"*/*/{artifacts.MANIFEST}")
    versions = frozenset(str(path.parent.relative_to(workspace.models)) for path in found)
    with closing(open_journal(place)) as journal:
        return _Moment(versions, journal.counts().erased)


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, Path]]:
    """Two files beside `target`, for nobody else to read: they hold what users did, and hashes of keys."""
    try:
        scratch = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except FileNotFoundError:
        raise InvalidInput(f"there is no folder {target.parent}: make it, or choose another file") from None
    with scratch as folder:
        yield Path(folder) / "backup.tar", Path(folder) / JOURNAL


def _write(workspace: Workspace, copy: Path, journal: Path, made: datetime, from_database: bool) -> Contents:
    files: dict[str, Member] = {}
    handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path in _files(workspace.root):
            name = path.relative_to(workspace.root).as_posix()
            with path.open("rb") as file:
                files[name] = _add(tar, name, file)
        with journal.open("rb") as file:
            files[JOURNAL] = _add(tar, JOURNAL, file)
        decisions, events, items, erased, end = count_journal(journal)
        contents = Contents(
            format=FORMAT,
            made=made,
            decisions=decisions,
            events=events,
            items=items,
            erased=erased,
            end=end,
            from_database=from_database,
            files=files,
        )
        text = msgspec.json.encode(contents)
        _add(tar, last_member(text), io.BytesIO(text), len(text))
    return contents


def last_member(text: bytes) -> str:
    """The name of the last member, which holds its own hash."""
    return f"contents-{hashlib.sha256(text).hexdigest()}.json"


def _files(root: Path) -> Iterator[Path]:
    """The files of a workspace but for the journal, locks, and what is only on its way."""
    for folder, folders, names in os.walk(root, followlinks=True):
        at = Path(folder)
        folders[:] = sorted(
            name for name in folders if name[0] != "." and not (at == root and name in _LEFT_OUT)
        )
        for name in sorted(names):
            if name[0] != "." and not (at == root and name.startswith(JOURNAL)):
                yield at / name


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int | None = None) -> Member:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    info.size = os.fstat(file.fileno()).st_size if size is None else size
    reading = Hashing(file)
    tar.addfile(info, reading)
    if reading.bytes != info.size:
        raise JournalError(f"{name} changed while it was read: take the backup again")
    return Member(reading.sha256, info.size)


class Hashing:
    """A file that is read, and the hash and number of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        self.bytes += len(data)
        return data
