"""What the files in `data/labels/` are: what they were made from, how they were split, and how much there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from honeyguide.artifacts import file_hash, key_of
from honeyguide.config import Labels
from honeyguide.data.labels.parts import PARTS
from honeyguide.data.labels.summary import LabelCount, tables_of
from honeyguide.errors import DamagedArtifact, NotReady

FOLDER, MANIFEST = "labels", "labels.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One Parquet file: its rows in all and in each part."""

    file: str
    rows: int
    parts: Mapping[str, int]
    sha256: str


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What was labelled, and how it was split."""

    key: str
    """Equal tables, settings and seed have an equal key."""
    validation_from: str | None
    """When validation begins (ISO 8601, UTC); None where nothing has a time."""
    test_from: str | None
    stars: tuple[float, float] | None
    """The lowest and the highest rating that can be given, as training tells; None where nobody rated."""
    seed: int
    settings: Labels
    files: tuple[LabelFile, ...]
    counts: tuple[LabelCount, ...]
    notes: tuple[str, ...]
    """What was left out, in words."""

    def __str__(self) -> str:
        """The report as a few lines of text."""
        lines = [str(count) for count in self.counts]
        lines += [f"  Note: {note}" for note in self.notes]
        if self.validation_from and self.test_from:
            lines.append(f"Validation from {self.validation_from}, test from {self.test_from}")
        width = max((len(file.file) for file in self.files), default=0)
        for file in self.files:
            parts = ", ".join(f"{name} {file.parts[name]:,}" for name in PARTS)
            lines.append(f"  {file.file:<{width}}  {file.rows:,} rows: {parts}")
        return "\n".join(lines)


def label_key(folder: Path, settings: Labels, seed: int) -> str:
    """The key of what would be written now."""
    home = tables_of(folder)
    sources = (home / "events", home / "items", folder / "touches", folder / "messages")
    paths = [source.with_suffix(".parquet") for source in sources]
    made_from = [
        (str(path.relative_to(folder)), file_hash(path) if path.is_file() else None) for path in paths
    ]
    return key_of(_FORMAT, made_from, asdict(settings), seed)


def load_labels(folder: Path) -> LabelReport:
    """What a data folder's `labels/` holds; NotReady where nothing is, DamagedArtifact where it is not whole."""
    home = folder / FOLDER
    remedy = f"Run: honeyguide prepare {folder.parent}"
    try:
        report = msgspec.json.decode((home / MANIFEST).read_bytes(), type=LabelReport)
    except (FileNotFoundError, NotADirectoryError):
        raise NotReady(f"{folder} has not been labelled yet. {remedy}") from None
    except msgspec.MsgspecError as error:
        raise DamagedArtifact(f"{home / MANIFEST}: {error}. {remedy}") from None
    for entry in report.files:
        path = home / entry.file
        if not path.is_file() or file_hash(path) != entry.sha256:
            raise DamagedArtifact(f"{path}: is not what {MANIFEST} says. {remedy}")
    return report
