"""Exporting a shop: all or nothing, and never over what somebody else wrote."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from honeyguide.artifacts import sync
from honeyguide.config import FILE_NAME
from honeyguide.data.database import first_line, replace_files
from honeyguide.errors import InvalidFile, InvalidInput, NotReady
from honeyguide.export.exporter import Exporter, ExportReport, Needs, Source
from honeyguide.export.known import exporter_named
from honeyguide.export.log import DecisionLog
from honeyguide.export.tables import Tables
from honeyguide.export.written import Written
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.protocol import Journal
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Progress, check_utc, silent


def export_shop(
    workspace: Workspace,
    format: str,
    out: Path,
    *,
    now: datetime,
    progress: Progress = silent,
    overwrite: bool = False,
) -> ExportReport:
    """Write the shop's data to `out` in a format of `known.EXPORTERS`; what is there before is kept on any error.

    `now` says which reward windows are over. What an earlier export of this shop wrote is replaced, anything else
    only with `overwrite`. InvalidInput, NotReady where there is nothing to export, InvalidFile where the disk fails.
    """
    exporter = exporter_named(format)
    check_utc(now, "now")
    out = out.resolve()
    _check_outside(workspace, out)
    with workspace.alone("export"), _explained(out):
        written = Written(workspace.cache / "exports.json")
        written.check_free(out, folder=exporter.folder, overwrite=overwrite)
        with _source(workspace, exporter.needs, now, progress) as source:
            return _write(exporter, source, out, written, progress)


def _write(
    exporter: Exporter, source: Source, out: Path, written: Written, progress: Progress
) -> ExportReport:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        staged = Path(scratch) / out.name
        if exporter.folder:
            staged.mkdir()
        report = exporter.write(source, staged, progress)
        names = [file.name for file in report.files] if exporter.folder else [""]
        for name in {*names, ""}:
            sync(staged / name)
        if exporter.folder and _holds_files(out):
            replace_files([(staged / name, out / name) for name in names])
        else:
            replace_files([(staged, out)])
    finals = [out / name for name in names]
    if exporter.folder:
        for stale in written.left_in(out, finals):
            stale.unlink()
    written.remember(finals)
    return replace(report, out=out)


def _holds_files(out: Path) -> bool:
    """An empty folder can be replaced in one step; the files of another one are replaced one by one."""
    return out.is_dir() and any(out.iterdir())


@contextmanager
def _source(workspace: Workspace, needs: Needs, now: datetime, progress: Progress) -> Iterator[Source]:
    """What the format is made of; NotReady where there is none of it."""
    settings = workspace.settings
    tables = Tables(workspace.events, workspace.items, workspace.data / "users.parquet")
    if needs == "events":
        tables.check()
    journal: Journal = MemoryJournal()
    if needs == "decisions" and workspace.may_have_served:
        journal = workspace.open_journal()
    try:
        window = timedelta(days=settings.labels.window_days)
        log = DecisionLog.read(
            journal, grade=settings.labels.grade, window=window, now=now, progress=progress
        )
        if needs == "decisions" and not log.decisions:
            raise NotReady(
                f"{workspace.root} has logged no decision yet: there is nothing to export. "
                f"Run: honeyguide decide {workspace.root} USER"
            )
        yield Source(tables, log)
    finally:
        journal.close()


def _check_outside(workspace: Workspace, out: Path) -> None:
    """InvalidInput where an export would lie among the files that the shop itself lives from."""
    root = workspace.root.resolve()
    folders = [folder.resolve() for folder in (workspace.data, workspace.models, workspace.cache)]
    # the journal's log lies beside it, and locks begin with a dot
    files = (FILE_NAME, workspace.journal.name, ".")
    own = out == root or (out.parent == root and out.name.startswith(files))
    if own or any(out.is_relative_to(folder) for folder in folders):
        raise InvalidInput(
            f"{out} belongs to the shop itself: export to a place of its own, such as {root / 'exports'}"
        )


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    """The disk's errors in words; nothing of a failed export is left."""
    try:
        yield
    except duckdb.Error as error:
        full = "No space left" in str(error) or "failed to offload" in str(error)
        raise _failed(out, first_line(error), full=full) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise _failed(out, error.strerror or str(error), full=full) from None


def _failed(out: Path, problem: str, *, full: bool) -> InvalidFile:
    if full:
        return InvalidFile(
            out, "the disk is full", "Free some space or export to another disk; nothing was left behind"
        )
    return InvalidFile(
        out, f"the export failed: {problem}", "Check the path, its permissions, the disk and the free memory"
    )
