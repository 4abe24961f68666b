"""Cleaning: each rule switchable, counted, explained and shown by example.

An event is dropped by the first rule that convicts it, and each rule looks only at what those before have left and
at what they have mended. The order has reasons:

    without_consent   first: who does not want to be learned from is no evidence about anyone else either
    future            a wrong clock must not say who was known on a device, or what came before what
    identity          who it was, before anything is asked about a user
    query_spelling    before twins are looked for: a retry may be written otherwise
    duplicate         before anything is counted: a tag that fires twice makes no bot and no outlier
    bot               before anything is asked about an item: a scraper must not say what is usual for it
    refund            while both halves are there, and before worth is judged
    outliers          of what was really bought; the absolute limit first, so that it does not shift the medians
    items, item_gone  the catalogue, and then the events that speak of what it no longer holds
    k_core            of all that is left
    session           last: a session consists of what really happened

Clock skew is not looked for beyond that: a zone that is off by whole hours looks like a shopper who comes back an
hour later, and the order of an import is no fact about time. What would be sure (in the future, long before
the item was there) is dropped and counted.

Rules that cannot apply (no negative value, no anonymous ids, no searches) cost nothing: one pass over the log says
so. What is written keeps the order of the import, for sorting millions of rows would cost more than many of the
rules; `load_events` sorts for itself. Cleaning what is clean changes nothing, but for the k-core (without an item or
a user, others may look different) and for a purchase that a part refund has made equal to its neighbour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from honeyguide.artifacts import write_atomically
from honeyguide.config import Clean
from honeyguide.data.cleaning import items, simple
from honeyguide.data.cleaning.bots import Signs, bots
from honeyguide.data.cleaning.core import k_core
from honeyguide.data.cleaning.duplicates import duplicates
from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.outliers import price_outliers, quantity_outliers
from honeyguide.data.cleaning.people import merge_identities
from honeyguide.data.cleaning.queries import normalise_queries
from honeyguide.data.cleaning.refunds import cancel_refunds
from honeyguide.data.cleaning.report import CleaningReport, RuleCount
from honeyguide.data.cleaning.sessions import SESSION_ID, sessionise
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import check_stored, database, number, replace_files, write_parquet
from honeyguide.data.table import to_us
from honeyguide.errors import DamagedArtifact, NotReady
from honeyguide.types import Progress, silent

__all__ = ["CleaningReport", "RuleCount", "clean", "load_cleaning"]

Step = Callable[[], RuleCount | list[RuleCount]]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one pass over the log says about which rules can apply."""

    events: int
    refusals: int
    last_us: int
    devices: int
    searches: int
    refunds: int
    worthless: int
    dearest: float
    purchases: int
    sessionless: int


def clean(folder: Path, settings: Clean, *, now: datetime, progress: Progress = silent) -> CleaningReport:
    """Clean the imported tables in `folder` into `folder/clean/`; the imported ones stay as they are."""
    target = folder / "clean"
    _check_there(folder)
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".clean-", dir=folder) as name, database(Path(name)) as db:
        scratch = Path(name)
        check_stored(db, folder / "events.parquet")
        check_stored(db, folder / "items.parquet")
        log = Log.open(db, folder / "events.parquet", scratch)
        items_in = items.load_items(log, folder / "items.parquet")
        facts = _facts(db)
        steps = list(_steps(log, settings, facts, folder, now))
        counts: list[RuleCount] = []
        for done, step in enumerate(steps, start=1):
            found = step()
            counts += found if isinstance(found, list) else [found]
            progress(done, len(steps) + 1)
        report = CleaningReport(
            events_in=facts.events,
            events_out=facts.events - number(db, "SELECT count(*) FROM verdicts"),
            items_in=items_in,
            items_out=number(db, "SELECT count(*) FROM items"),
            rules=log.with_examples(counts),
        )
        _store(db, scratch, target)
    write_atomically(target / "report.json", msgspec.json.encode(report))
    progress(len(steps) + 1, len(steps) + 1)
    return report


def load_cleaning(folder: Path) -> CleaningReport:
    """What the last `clean` of this data folder found; NotReady where there was none."""
    path = folder / "clean" / "report.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=CleaningReport)
    except FileNotFoundError:
        raise NotReady(f"{folder} has not been cleaned yet. Run: honeyguide fit {folder.parent}") from None
    except msgspec.MsgspecError as error:
        raise DamagedArtifact(f"{path}: {error}. Run again: honeyguide fit {folder.parent}") from None


def _steps(log: Log, settings: Clean, facts: _Facts, folder: Path, now: datetime) -> Iterator[Step]:
    """The rules that are switched on, in their order; one that cannot apply says 0 without looking."""
    if settings.drop_without_consent:
        yield _if(facts.refusals, lambda: simple.without_consent(log), "without_consent")
    if settings.drop_future:
        yield lambda: simple.future(log, now)
    if settings.merge_identities and (facts.devices or (folder / "identities.parquet").is_file()):
        yield lambda: merge_identities(log, folder / "identities.parquet")


def _check_there(folder: Path) -> None:
    for name in ("events.parquet", "items.parquet"):
        if not (folder / name).is_file():
            raise NotReady(f"there is no {folder / name} yet. Run: honeyguide import {folder.parent} FILES")
