"""Cleaning: each rule switchable, counted, explained and shown by example.

An event is dropped by the first rule that convicts it, and each rule looks only at what those before have left and
at what they have mended. The order has reasons:

    without_consent   first: who does not want to be learned from is no evidence about anyone else either
    clock_skew        a wrong clock must not say who was known on a device, or what came before what
    future            what lies in the future even by a clock that was set right
    identity          who it was, before anything is asked about a user
    query_spelling    before twins are looked for: a retry may be written otherwise
    duplicate         before anything is counted: a tag that fires twice makes no bot and no outlier
    bot               before anything is asked about an item: a scraper must not say what is usual for it
    refund            while both halves are there, and before worth is judged
    outliers          of what was really bought; the absolute limit first, so that it does not shift the medians
    items, item_gone  the catalogue, and then the events that speak of what it no longer holds
    k_core            of all that is left
    session           last: a session consists of what really happened

Clock skew can only be seen where the log says when an event was received. Without that, a zone that is off by whole
hours looks like a shopper who comes back an hour later, and the order of an import is no fact about time; what would
be sure (in the future, long before the item was there) is dropped and counted.

Rules that cannot apply (no negative value, no anonymous ids, no searches) cost nothing and are not in the report: one
pass over the log says so. What is written keeps the order of the import, for sorting millions of rows would cost
more than many of the rules; `load_events` sorts for itself. Cleaning what is clean changes nothing, but for the
k-core (without an item or a user, others may look different) and for a purchase that a part refund has made equal
to its neighbour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from honeyguide.artifacts import file_hash, key_of, write_atomically
from honeyguide.config import Clean
from honeyguide.data.cleaning import items, simple, texts
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
from honeyguide.data.cleaning.skew import clock_skew
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import check_stored, database, number, replace_files, write_parquet
from honeyguide.data.table import to_us
from honeyguide.errors import DamagedArtifact, NotReady
from honeyguide.types import Progress, Stage, quietly, silent

__all__ = ["CleaningReport", "RuleCount", "clean", "clean_once", "load_cleaning"]

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
    received: int
    dated_items: int


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
        steps = _steps(log, settings, facts, folder, now)
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


def clean_once(
    folder: Path, settings: Clean, *, now: datetime, stage: Stage = quietly
) -> tuple[CleaningReport, bool]:
    """Clean, unless this very import was cleaned with these settings already; and whether it was cleaned now."""
    _check_there(folder)
    raw = [folder / "events.parquet", folder / "items.parquet"]
    raw += [path for path in [folder / "identities.parquet"] if path.is_file()]
    key = key_of(*map(file_hash, raw), asdict(settings))
    if known := _made_from(folder, key):
        return known, False
    marker = folder / "clean" / "KEY"
    marker.unlink(missing_ok=True)  # from here until the end the tables may be those of another key
    with stage("Clean") as progress:
        report = clean(folder, settings, now=now, progress=progress)
    write_atomically(marker, key.encode())
    return report, True


def load_cleaning(folder: Path) -> CleaningReport:
    """What the last `clean` of this data folder found; NotReady where there was none."""
    path = folder / "clean" / "report.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=CleaningReport)
    except FileNotFoundError:
        raise NotReady(f"{folder} has not been cleaned yet. Run: honeyguide fit {folder.parent}") from None
    except msgspec.MsgspecError as error:
        raise DamagedArtifact(f"{path}: {error}. Run again: honeyguide fit {folder.parent}") from None


def _made_from(folder: Path, key: str) -> CleaningReport | None:
    """The report of a cleaning that was made from `key` and lies there whole."""
    target = folder / "clean"
    try:
        if (target / "KEY").read_bytes() != key.encode():
            return None
        report = load_cleaning(folder)
    except (FileNotFoundError, NotReady, DamagedArtifact):
        return None
    return report if all((target / name).is_file() for name in ("events.parquet", "items.parquet")) else None


def _steps(log: Log, settings: Clean, facts: _Facts, folder: Path, now: datetime) -> list[Step]:
    """The rules that are switched on and can apply, in their order."""
    s, identities = settings, folder / "identities.parquet"
    signs = Signs(s.bot_events_per_day, s.bot_items_per_day, s.bot_dwell_s, s.bot_entropy_bits)
    enough = s.outlier_purchases <= facts.purchases
    rules: list[tuple[object, Step]] = [
        (s.drop_without_consent and facts.refusals, lambda: simple.without_consent(log)),
        (s.clock_skew_s and facts.received, lambda: clock_skew(log, s.clock_skew_s)),
        (s.drop_future and facts.last_us > to_us(now), lambda: simple.future(log, now)),
        (
            s.merge_identities and (facts.devices or identities.is_file()),
            lambda: merge_identities(log, identities),
        ),
        (s.normalise_queries and facts.searches, lambda: normalise_queries(log)),
        (
            s.drop_duplicates or s.duplicate_window_s,
            lambda: duplicates(log, exact=s.drop_duplicates, window_s=s.duplicate_window_s),
        ),
        (signs.any_verdict, lambda: bots(log, signs)),
        (s.cancel_refunds and facts.refunds, lambda: cancel_refunds(log)),
        (s.drop_worthless and facts.worthless, lambda: simple.worthless(log)),
        (s.max_value and facts.dearest > s.max_value, lambda: simple.too_dear(log, s.max_value)),
        (s.price_ratio and enough, lambda: price_outliers(log, s.price_ratio, s.outlier_purchases)),
        (s.quantity_ratio and enough, lambda: quantity_outliers(log, s.quantity_ratio, s.outlier_purchases)),
        (s.exclude_categories, lambda: items.excluded_category(log, s.exclude_categories)),
        (s.clean_texts, lambda: texts.normal_texts(log)),
        (s.boilerplate_share, lambda: texts.boilerplate(log, s.boilerplate_share)),
        (s.drop_textless, lambda: items.without_text(log)),
        (True, lambda: simple.item_gone(log)),
        (
            s.before_created_days and facts.dated_items,
            lambda: simple.before_created(log, s.before_created_days),
        ),
        (s.k_core, lambda: k_core(log, s.k_core)),
        (s.session_gap_minutes and facts.sessionless, lambda: sessionise(log, s.session_gap_minutes)),
    ]
    return [step for applies, step in rules if applies]


def _facts(db: duckdb.DuckDBPyConnection) -> _Facts:
    row = db.execute("""
        SELECT count(*), count(*) FILTER (consent = false), coalesce(epoch_us(max("time")), 0), count(anonymous_id),
               count(query), count(*) FILTER (kind = 'purchase' AND (value < 0 OR quantity < 0)),
               count(*) FILTER (kind = 'purchase' AND value <= 0), coalesce(max(abs(value)), 0),
               count(*) FILTER (kind = 'purchase'), count(*) - count(session_id),
               count(received_at), (SELECT count(created_at) FROM items)
        FROM stored""").fetchone()
    return _Facts(*(row or ()))


def _store(db: duckdb.DuckDBPyConnection, scratch: Path, target: Path) -> None:
    """Write both tables and move them into place, the items before the events that speak of them."""
    made = number(db, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'sessions'")
    events = "FROM events"
    if made:
        session = f"coalesce(session_id, {SESSION_ID}) AS session_id"
        events = f'SELECT events.* REPLACE ({session}) FROM events LEFT JOIN sessions USING ("row")'
    kept = ", ".join(f'"{column}"' for column in EVENTS)
    write_parquet(db, "SELECT * FROM items ORDER BY item_id", scratch / "items.parquet")
    write_parquet(db, f"SELECT {kept} FROM ({events})", scratch / "events.parquet")
    names = ("items.parquet", "events.parquet")
    replace_files([(scratch / name, target / name) for name in names])


def _check_there(folder: Path) -> None:
    for name in ("events.parquet", "items.parquet"):
        if not (folder / name).is_file():
            raise NotReady(f"there is no {folder / name} yet. Run: honeyguide import {folder.parent} FILES")
