"""Making a workspace out of a backup: everything is checked in a folder beside, which then takes the place."""

from __future__ import annotations

import fcntl
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath

import msgspec

from honeyguide import artifacts
from honeyguide.config import FILE_NAME
from honeyguide.errors import InvalidFile, InvalidInput, NotReady
from honeyguide.journal.move import copy_journal
from honeyguide.journal.open import is_url, open_journal
from honeyguide.journal.protocol import Erased, Journal, id_of
from honeyguide.journal.snapshot import check_sound, in_use
from honeyguide.shop.backup import (
    FORMAT,
    JOURNAL,
    Contents,
    Hashing,
    Member,
    count_journal,
    last_member,
)
from honeyguide.shop.workspace import Workspace

_TAKE_ANOTHER = "Take another backup: nothing was restored"
_BLOCK = 1 << 20
_BATCH = 500  # records at once: about 7 MB of decisions


def restore(
    backup: Path, root: Path, *, now: datetime, store: Path | str | None = None, replace: bool = False
) -> Contents:
    """Make the workspace at `root` what the backup holds, all of it or nothing, and say what that is.

    Where a workspace is there, `replace` moves it aside, to a folder whose name says so. Where the settings, or
    `store`, name a database its journal has to be empty. InvalidFile where the backup is not what it was when it
    was taken; InvalidInput; NotReady where a process has the present journal open; JournalError.
    """
    root = root.absolute()
    _check_target(root, replace)
    with _staging(root) as (home, staged):
        contents = _extract(backup, staged)
        _check_journal(backup, staged / JOURNAL, contents)
        workspace = Workspace.at(staged)
        for folder in (workspace.data, workspace.models, workspace.cache, workspace.reports):
            folder.mkdir(exist_ok=True)
        place = store or workspace.settings.journal.store
        if is_url(place):
            _fill(str(place), staged / JOURNAL)
            (staged / JOURNAL).unlink()
        _sync_all(staged)
        _check_target(root, replace)
        if root.exists():
            root.rename(root.with_name(f"{root.name}.replaced-{now:%Y%m%dT%H%M%S}"))
        staged.rename(root)
        artifacts.sync(home.parent)
    return contents


def _check_target(root: Path, replace: bool) -> None:
    if not root.exists():
        if not root.parent.is_dir():
            raise InvalidInput(f"there is no folder {root.parent}: make it, or choose another place")
        return
    if not root.is_dir() or (any(root.iterdir()) and not (root / FILE_NAME).is_file()):
        raise InvalidInput(f"{root} is there and is no workspace: choose another folder")
    if any(root.iterdir()) and not replace:
        raise InvalidInput(
            f"{root} is already there: choose another folder, or say --force to move it aside and replace it"
        )
    journal = root / JOURNAL
    if journal.is_file() and in_use(journal):
        raise NotReady(f"{journal} is open in another process: stop what serves {root} first")


@contextmanager
def _staging(root: Path) -> Iterator[tuple[Path, Path]]:
    """A folder beside the target, for this restore alone; what a killed one left in it is removed first."""
    home = root.absolute().parent / f".{root.name}.restoring"
    home.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotReady(f"another restore of {root} is running: wait until it is through") from None
        staged = home / root.name
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        yield home, staged
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os.close(handle)


def _extract(backup: Path, staged: Path) -> Contents:
    """Unpack the backup, and hold every byte of it against what its last member says."""
    found: dict[str, Member] = {}
    contents: Contents | None = None
    try:
        with tarfile.open(backup, "r|") as tar:
            for info in tar:
                if contents is not None:
                    raise InvalidFile(backup, f"{info.name!r} comes after its end", _TAKE_ANOTHER)
                if info.name.startswith("contents-"):
                    contents = _contents(backup, tar, info)
                else:
                    found[info.name] = _unpack(backup, tar, info, staged, found)
    except FileNotFoundError:
        raise InvalidFile(backup, "there is no such file", "Name the backup") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidFile(backup, f"it is no backup, or damaged ({error})", _TAKE_ANOTHER) from None
    if contents is None:
        raise InvalidFile(backup, "it was cut off", _TAKE_ANOTHER)
    for name in sorted(found.keys() | contents.files.keys()):
        if found.get(name) != contents.files.get(name):
            raise InvalidFile(backup, f"{name!r} is not what it was when it was backed up", _TAKE_ANOTHER)
    return contents


def _contents(backup: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> Contents:
    stream = tar.extractfile(info)
    text = b"" if stream is None else stream.read()
    if info.name != last_member(text):
        raise InvalidFile(backup, "the list of what it holds is damaged", _TAKE_ANOTHER)
    stated = msgspec.json.decode(text)
    if stated.get("format", 0) > FORMAT:
        problem = f"format {stated['format']} is newer than this Honeyguide reads ({FORMAT})"
        raise InvalidFile(backup, problem, "Upgrade it")
    return msgspec.convert(stated, Contents)


def _unpack(
    backup: Path, tar: tarfile.TarFile, info: tarfile.TarInfo, staged: Path, found: dict[str, Member]
) -> Member:
    path = PurePosixPath(info.name)
    plain = info.isreg() and not path.is_absolute() and ".." not in path.parts and path.parts
    stream = tar.extractfile(info) if plain and info.name not in found else None
    if stream is None:
        raise InvalidFile(backup, f"{info.name!r} is no file that a backup holds", _TAKE_ANOTHER)
    target = staged.joinpath(*path.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    reading = Hashing(stream)
    private = info.name in ("keys.json", FILE_NAME)
    with open(
        os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644), "wb"
    ) as file:
        while block := reading.read(_BLOCK):
            file.write(block)
    return Member(reading.sha256, reading.bytes)


def _check_journal(backup: Path, path: Path, contents: Contents) -> None:
    check_sound(path)
    stated = (contents.decisions, contents.events, contents.items, contents.erased, contents.end)
    if count_journal(path) != stated:
        raise InvalidFile(backup, "its journal is not the one that it names", _TAKE_ANOTHER)


def _fill(url: str, path: Path) -> None:
    """Bring the entries into a database: its journal is empty, or holds what a restore that was cut off left."""
    with closing(open_journal(path)) as source, closing(open_journal(url)) as target:
        if not _begins_with(source, target):
            raise InvalidInput(
                "the database holds another journal already: name an empty schema with --store, or in [journal] store"
            )
        copy_journal(source, target)


def _begins_with(source: Journal, target: Journal) -> bool:
    """Whether all that `target` holds are the first entries of `source`."""
    if target.end() == 0:
        return True
    held, all_of_them = _ids(target), _ids(source)
    return held == all_of_them[: len(held)]


def _ids(journal: Journal) -> list[str]:
    """The ids of all entries but those of erased users, in order."""
    found, after = [], 0
    while records := journal.read(after, _BATCH):
        found += [id_of(record.entry) for record in records if not isinstance(record.entry, Erased)]
        after = records[-1].offset
    return found


def _sync_all(folder: Path) -> None:
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            artifacts.sync(Path(at) / name)
    artifacts.sync(folder)
