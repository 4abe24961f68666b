"""Cleaning: each rule switchable, counted and explained."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from honeyguide.artifacts import write_atomically
from honeyguide.config import Clean
from honeyguide.data.columns import EVENTS, ITEMS
from honeyguide.data.database import (
    check_stored,
    database,
    identifier,
    literal,
    number,
    parquet,
    replace_files,
    write_parquet,
)
from honeyguide.data.table import to_us
from honeyguide.errors import DamagedArtifact, NotReady
from honeyguide.types import Progress, silent


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What one cleaning rule did: rows dropped (or mended), of how many, and why in words."""

    rule: str
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning saw and removed."""

    events_in: int
    events_out: int
    items_in: int
    items_out: int
    rules: tuple[RuleCount, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rows of `table` for which the SQL condition `drop` holds are dropped, for the reason in words."""

    name: str
    table: str
    drop: str
    reason: str


def clean(
    folder: Path,
    settings: Clean,
    *,
    now: datetime,
    drop_non_positive: bool = True,
    drop_textless: bool = True,
    progress: Progress = silent,
) -> CleaningReport:
    """Clean the imported tables in `folder` into `folder/clean/`; the imported ones stay as they are.

    The rules run one after the other, each over what the rules before it left.
    """
    rules = _rules(settings, now, drop_non_positive=drop_non_positive, drop_textless=drop_textless)
    target = folder / "clean"
    _check_there(folder)
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".clean-", dir=folder) as scratch, database(Path(scratch)) as db:
        _load(db, folder)
        events_in, items_in = _count(db, "events"), _count(db, "items")
        counts = []
        for done, rule in enumerate(rules, start=1):
            rows = number(db, f"DELETE FROM {rule.table} WHERE {rule.drop}")
            counts.append(RuleCount(rule.name, rows, rule.reason))
            progress(done, len(rules) + 1)
        report = CleaningReport(events_in, _count(db, "events"), items_in, _count(db, "items"), tuple(counts))
        _store(db, Path(scratch), target)
    write_atomically(target / "report.json", msgspec.json.encode(report))
    progress(len(rules) + 1, len(rules) + 1)
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


def _rules(settings: Clean, now: datetime, *, drop_non_positive: bool, drop_textless: bool) -> list[_Rule]:
    """The rules that are switched on, in their order."""
    rules = _event_rules(settings, now)
    if drop_non_positive:
        reason = "a refund, a give-away or coupon bookkeeping (value 0 or less) is not a purchase"
        rules.append(_Rule("non_positive_purchase", "events", "kind = 'purchase' AND value <= 0", reason))
    if settings.max_value > 0:
        reason = f"worth more than {settings.max_value:g}: a typing error or a bulk order"
        rules.append(_Rule("value_outlier", "events", f"abs(value) > {settings.max_value!r}", reason))
    if settings.exclude_categories:
        names = ", ".join(literal(" ".join(name.split()).lower()) for name in settings.exclude_categories)
        condition = f"lower(trim(split_part(category, ' > ', 1))) IN ({names})"
        reason = "not recommendable: " + ", ".join(settings.exclude_categories)
        rules += _with_events("excluded_category", condition, reason)
    if drop_textless:
        condition = "concat_ws('', title, category, description) = ''"
        rules += _with_events("item_without_text", condition, "nothing is known that could be read about it")
    return rules


def _event_rules(settings: Clean, now: datetime) -> list[_Rule]:
    rules = []
    if settings.drop_future:
        condition = f'"time" > make_timestamptz({to_us(now)})'
        rules.append(_Rule("future", "events", condition, f"later than {now:%Y-%m-%d %H:%M} UTC"))
    if settings.bot_events_per_day > 0:
        limit = settings.bot_events_per_day
        condition = f"""user_id IN (SELECT user_id FROM events
            GROUP BY user_id, time_bucket(INTERVAL 1 DAY, "time") HAVING count(*) > {limit})"""
        reason = f"of a user with more than {limit:,} events on one day: taken for a bot"
        rules.append(_Rule("bot", "events", condition, reason))
    if settings.duplicate_window_s > 0:
        gap_us = round(settings.duplicate_window_s * 1e6)
        condition = f"""event_id IN (SELECT event_id FROM (SELECT event_id, epoch_us("time") - lag(epoch_us("time"))
            OVER (PARTITION BY user_id, item_id, kind, value, query, decision_id, position
                  ORDER BY "time", event_id) AS gap_us FROM events) WHERE gap_us <= {gap_us})"""
        reason = f"the same user, item, kind and value as {settings.duplicate_window_s:g} s or less before"
        rules.append(_Rule("duplicate", "events", condition, reason))
    return rules


def _with_events(name: str, condition: str, reason: str) -> list[_Rule]:
    """Drop items, and then the events that speak of items that are gone."""
    gone = "item_id IS NOT NULL AND item_id NOT IN (SELECT item_id FROM items)"
    return [
        _Rule(f"{name}: items", "items", condition, reason),
        _Rule(f"{name}: events", "events", gone, "events of those items"),
    ]


def _check_there(folder: Path) -> None:
    for name in ("events.parquet", "items.parquet"):
        if not (folder / name).is_file():
            raise NotReady(f"there is no {folder / name} yet. Run: honeyguide import {folder.parent} FILES")


def _load(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    for table, columns in (("events", EVENTS), ("items", ITEMS)):
        path = folder / f"{table}.parquet"
        check_stored(db, path)
        names = ", ".join(identifier(column) for column in columns)
        db.execute(f"CREATE TABLE {table} AS SELECT {names} FROM {parquet(path)}")


def _count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    return number(db, f"SELECT count(*) FROM {table}")


def _store(db: duckdb.DuckDBPyConnection, scratch: Path, target: Path) -> None:
    moves = []
    for table, order in (("items", "item_id"), ("events", '"time", event_id')):
        write_parquet(db, f"SELECT * FROM {table} ORDER BY {order}", scratch / f"{table}.parquet")
        moves.append((scratch / f"{table}.parquet", target / f"{table}.parquet"))
    replace_files(moves)
