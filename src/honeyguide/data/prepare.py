"""From a shop's files to a clean, labelled data set: import, clean, label, each only where there is anything new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from honeyguide.artifacts import file_hash, key_of, write_atomically
from honeyguide.config import Clean, Labels
from honeyguide.data.clean import CleaningReport, clean_once
from honeyguide.data.columns import TABLES
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.labels.files import write_labels
from honeyguide.data.labels.manifest import FOLDER, LabelReport, label_key, load_labels
from honeyguide.errors import DamagedArtifact, NotReady
from honeyguide.types import Stage, quietly

_RECORD = "prepared.json"


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What there is now, and which steps it took."""

    imported: ImportReport | None
    """None where no files were named."""
    cleaned: CleaningReport | None
    """None where only events and items together can be cleaned, and one of them is missing."""
    labels: LabelReport
    folder: str
    """Where the labelled data sets lie."""
    computed: tuple[str, ...]
    """Which of import, clean and label were done now; the others had been done before."""

    def __str__(self) -> str:
        """The report as text."""
        lines = [] if self.computed else ["Nothing is new, and nothing was computed again. What there is:"]
        if self.imported:
            lines += [*([] if "import" in self.computed else ["Imported before:"]), str(self.imported)]
        lines += _cleaning(self.cleaned)
        return "\n".join([*lines, str(self.labels), f"Labelled data sets: {self.folder}"])


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read; see `import_files`."""

    format: str | None = None
    columns: str | None = None
    table: str | None = None
    to_utc: bool = False
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class _Imported:
    """An import, what it was made from, and a key of the tables that it left."""

    key: str
    tables: str
    report: ImportReport


def prepare(
    folder: Path,
    files: Sequence[Path] = (),
    *,
    clean: Clean,
    labels: Labels,
    seed: int,
    now: datetime,
    reading: Reading = Reading(),
    stage: Stage = quietly,
) -> PrepareReport:
    """Import `files` into the data folder as `import_files` does, clean what is stored, and label it.

    What was done before with the same files, tables and settings is not done again; where it is interrupted, the next
    run goes on. The same files are read again when anything else was imported since. One at a time.
    """
    computed: list[str] = []
    imported = cleaned = None
    if files:
        imported, anew = _import_once(folder, files, reading, now, stage)
        computed += ["import"] if anew else []
    if all((folder / f"{name}.parquet").is_file() for name in ("events", "items")):
        cleaned, anew = clean_once(folder, clean, now=now, stage=stage)
        computed += ["clean"] if anew else []
    report = _labelled_before(folder, labels, seed)
    if report is None:
        computed.append("label")
        with stage("Label") as progress:
            report = write_labels(folder, labels, seed=seed, progress=progress)
    return PrepareReport(imported, cleaned, report, str(folder / FOLDER), tuple(computed))


def _import_once(
    folder: Path, files: Sequence[Path], reading: Reading, now: datetime, stage: Stage
) -> tuple[ImportReport, bool]:
    """Import, unless this very import was the last one; and whether it was done now."""
    record, key = folder / _RECORD, _import_key(files, reading)
    if known := _imported_before(record, key, folder):
        return known, False
    with stage("Import") as progress:
        report = import_files(folder, files, **asdict(reading), now=now, progress=progress)
    if key:
        write_atomically(record, msgspec.json.encode(_Imported(key, _tables_key(folder), report)))
    return report, True


def _import_key(files: Sequence[Path], reading: Reading) -> str | None:
    """What an import is made from; None where that cannot be read, which is for the import to say."""
    try:
        return key_of(asdict(reading), [(str(path.resolve()), file_hash(path)) for path in files])
    except OSError:
        return None


def _imported_before(record: Path, key: str | None, folder: Path) -> ImportReport | None:
    """The report of this very import, where nothing has changed what is stored since."""
    try:
        last = msgspec.json.decode(record.read_bytes(), type=_Imported)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return last.report if (last.key, last.tables) == (key, _tables_key(folder)) else None


def _tables_key(folder: Path) -> str:
    paths = [folder / f"{table}.parquet" for table in TABLES]
    return key_of([file_hash(path) if path.is_file() else None for path in paths])


def _labelled_before(folder: Path, settings: Labels, seed: int) -> LabelReport | None:
    try:
        report = load_labels(folder)
    except (NotReady, DamagedArtifact):
        return None
    return report if report.key == label_key(folder, settings, seed) else None


def _cleaning(report: CleaningReport | None) -> list[str]:
    if report is None:
        return ["Not cleaned, for that takes both events and items: labels are made from what was imported"]
    lines = [
        f"Cleaned: {report.events_out:,} of {report.events_in:,} events and {report.items_out:,} of "
        f"{report.items_in:,} items are left"
    ]
    for rule in report.rules:
        if rule.rows:
            lines.append(f"  {rule.rows:,} {rule.table} {rule.effect}: {rule.rule} ({rule.reason})")
    return lines
