"""The labelled data sets of a data folder: one Parquet file for each label that its tables can give.

Ids are the shop's own, and every row says which part of the split it belongs to. What has a time is split in time: no
row depends on anything that happened in a later part, so labels whose window reaches over a moment are left out, and
negatives are drawn as often as items were taken in training. Items, texts and messages have no order and are split by
chance, what says the same on one side.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from honeyguide.artifacts import file_hash, sync
from honeyguide.config import Labels
from honeyguide.data.database import database, parquet, replace_files
from honeyguide.data.labels import summary
from honeyguide.data.labels.job import Job
from honeyguide.data.labels.manifest import FOLDER, MANIFEST, LabelFile, LabelReport, label_key
from honeyguide.data.labels.of_log import LogLabels
from honeyguide.data.labels.of_rest import label_campaigns, label_items, label_messages, label_reviews
from honeyguide.data.labels.parts import PARTS
from honeyguide.data.labels.summary import LabelCount
from honeyguide.data.labels.writer import Writer
from honeyguide.data.table import from_us
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.types import Progress, silent

Step = Callable[[], Iterable[LabelCount]]


def write_labels(folder: Path, settings: Labels, *, seed: int, progress: Progress = silent) -> LabelReport:
    """Label the tables of a data folder, the cleaned ones where there are any, into its `labels/`.

    What lies there is replaced when everything is ready, the manifest last: where that is interrupted, the manifest
    does not fit the files, and `load_labels` says so. One at a time.
    """
    _check_there(folder)
    for left in folder.glob(".labels-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
    key = label_key(folder, settings, seed)
    with tempfile.TemporaryDirectory(prefix=".labels-", dir=folder) as name, database(Path(name)) as db:
        scratch = Path(name)
        job = Job.open(folder, settings, seed, Writer(db, scratch))
        counts: list[LabelCount] = []
        steps = _steps(job)
        for done, step in enumerate(steps, start=1):
            counts += step()
            progress(done, len(steps) + 1)
        report = _report(db, job, key, counts)
        _store(scratch, folder / FOLDER, report)
    progress(len(steps) + 1, len(steps) + 1)
    return report


def _steps(job: Job) -> list[Step]:
    log: list[Step] = [summary.without_events]
    if job.table is not None and job.moments is not None:
        labels = LogLabels(job, job.table, job.moments)
        log = [labels.interactions, labels.visits, labels.shown, labels.negatives]
    others = (label_reviews, label_campaigns, label_messages)
    return [partial(label_items, job), *log, *(partial(step, job) for step in others)]


def _report(db: duckdb.DuckDBPyConnection, job: Job, key: str, counts: list[LabelCount]) -> LabelReport:
    moments, scale = job.moments, job.scale
    return LabelReport(
        key=key,
        validation_from=from_us(moments.validation_us).isoformat() if moments else None,
        test_from=from_us(moments.test_us).isoformat() if moments else None,
        stars=(scale.low, scale.high) if scale else None,
        seed=job.seed,
        settings=job.settings,
        files=tuple(file for path in job.writer.files if (file := _described(db, path)).rows),
        counts=tuple(counts),
        notes=tuple(job.notes),
    )


def _described(db: duckdb.DuckDBPyConnection, path: Path) -> LabelFile:
    found = dict(db.execute(f"SELECT part, count(*) FROM {parquet(path)} GROUP BY part").fetchall())
    parts = {name: found.get(name, 0) for name in PARTS}
    return LabelFile(path.name, sum(parts.values()), parts, file_hash(path))


def _store(scratch: Path, target: Path, report: LabelReport) -> None:
    """Move the files into place; what can no longer be made goes, and the manifest comes last."""
    target.mkdir(exist_ok=True)
    manifest = scratch / MANIFEST
    manifest.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    sync(manifest)
    names = [file.file for file in report.files]
    replace_files([(scratch / name, target / name) for name in names])
    for old in target.glob("*.parquet"):
        if old.name not in names:
            old.unlink()
    replace_files([(manifest, target / MANIFEST)])


def _check_there(folder: Path) -> None:
    if (folder / FOLDER).exists() and not (folder / FOLDER).is_dir():
        raise InvalidInput(
            f"{folder / FOLDER} is a file: remove it, labels are written into a folder of that name"
        )
    tables = ("events", "items", "touches", "messages")
    if not any((folder / f"{table}.parquet").is_file() for table in tables):
        raise NotReady(
            f"{folder} holds nothing that could be labelled. Run: honeyguide import {folder.parent} FILES"
        )
