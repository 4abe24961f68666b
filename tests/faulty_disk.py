"""A disk below SQLite whose power can be cut, that can be full, and that says what is written when.

What was written is on the disk for certain only once it was synced, as `synchronous = FULL` asks for. When the power
goes, each write since then is there, is lost, or is there in part: sectors of it, in no order. A new file, or the end
of one, is certain once its folder was synced, which SQLite does as it first syncs a log or journal that is new.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import apsw

SECTOR = 512
_NEW_LOG = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
_numbers = count()


@dataclass(eq=False)
class Medium:
    """One file: what the disk holds for certain, and what was written since; no bytes: cut off at `offset`."""

    certain: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        """Everything is certain."""
        for offset, data in self.since:
            _put(self.certain, offset, data)
        self.since.clear()

    def after_power_loss(self, rng: Random) -> bytes:
        """What may be found."""
        found = bytearray(self.certain)
        for offset, data in self.since:
            fate = rng.choice(("kept", "lost", "torn"))
            if fate == "torn" and data is not None:
                for start in range(0, len(data), SECTOR):
                    if rng.random() < 0.5:
                        _put(found, offset + start, data[start : start + SECTOR])
            elif fate == "kept":
                _put(found, offset, data)
        return bytes(found)


class FaultyDisk(apsw.VFS):
    """SQLite's default VFS while it is open; each fault begins with the next call.

    `steps` counts down with every write, sync, truncation and deletion: at 0 the power is cut. `full` lets no file
    grow. `seen` is told each step by its name, such as "wal sync", before it is done.
    """

    def __init__(self) -> None:
        self.full = False
        self.steps: int | None = None
        self.seen: Callable[[str], None] = lambda step: None
        self.name = f"faulty-{next(_numbers)}"
        self._files: dict[str, Medium] = {}
        self._certain: dict[str, Medium] = {}
        super().__init__(self.name, "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """A file whose writes are held to account; temporary ones are nobody's loss."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return apsw.VFSFile("unix", None, flags)
        new = path not in self._files
        medium = self._files.setdefault(path, Medium())
        return _File(self, name, flags, medium, log=new and bool(flags[0] & _NEW_LOG))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Take a file out of its folder; certain where the folder is synced."""
        self.step(f"{kind_of(filename)} delete")
        super().xDelete(filename, syncdir)
        self._files.pop(filename, None)
        if syncdir:
            self.sync_folder()

    def step(self, name: str) -> None:
        """One more thing that the disk is told to do; IOError once the power is cut."""
        self.seen(name)
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise apsw.IOError("the power is cut")

    def sync_folder(self) -> None:
        """What files there are is certain."""
        self._certain = dict(self._files)

    def lose_power(self, rng: Random, folder: Path) -> Path:
        """What is found when the power is back, as files in a new folder."""
        folder.mkdir()
        for path in sorted(self._files.keys() | self._certain.keys()):
            media = [files[path] for files in (self._files, self._certain) if path in files]
            # one that came or went since the folder was synced is there, or is not
            choices: list[Medium | None] = [*media] if len(media) == 2 else [*media, None]
            medium = rng.choice(choices)
            if medium is not None:
                (folder / Path(path).name).write_bytes(medium.after_power_loss(rng))
        return folder


class _File(apsw.VFSFile):
    def __init__(
        self,
        disk: FaultyDisk,
        name: str | apsw.URIFilename | None,
        flags: list[int],
        medium: Medium,
        *,
        log: bool,
    ) -> None:
        super().__init__("unix", name, flags)
        self._disk, self._medium, self._log = disk, medium, log
        self._kind = kind_of(name.filename() if isinstance(name, apsw.URIFilename) else str(name))

    def xWrite(self, data: bytes, offset: int) -> None:
        """Write, which is not certain yet."""
        self._disk.step(f"{self._kind} write")
        if self._disk.full and offset + len(data) > self.xFileSize():
            raise apsw.FullError("the disk is full")
        super().xWrite(data, offset)
        self._medium.since.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        """Cut the end off, which is not certain yet."""
        self._disk.step(f"{self._kind} truncate")
        super().xTruncate(newsize)
        self._medium.since.append((newsize, None))

    def xSync(self, flags: int) -> None:
        """Make it certain; the real disk is spared the work."""
        self._disk.step(f"{self._kind} sync")
        self._medium.sync()
        if self._log:
            self._log = False
            self._disk.sync_folder()


def kind_of(path: str) -> str:
    """Which of SQLite's files it is."""
    name = os.path.basename(path)
    return "wal" if name.endswith("-wal") else "rollback" if name.endswith("-journal") else "database"


@contextmanager
def faulty_disk(*, pages: int = 1000) -> Iterator[FaultyDisk]:
    """The disk below every connection that is opened in the block; logs are copied back after so many pages."""
    disk = FaultyDisk()

    def often(connection: apsw.Connection) -> None:
        connection.wal_autocheckpoint(pages)

    apsw.connection_hooks.append(often)
    try:
        yield disk
    finally:
        apsw.connection_hooks.remove(often)
        disk.unregister()


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data
