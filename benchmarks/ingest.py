"""Import with validation and quarantine, against DuckDB's bare COPY of the same file into Parquet.

    python benchmarks/ingest.py [--events 5000000] [--memory-events 20000000] [--seeds 5] [--json OUT]

A log with known dirt (unknown kinds and items, unreadable and impossible times, ids that come twice) is written as
CSV, JSON Lines and Parquet. Each round copies and imports each file, one after the other, so that both meet the same
machine. COPY runs twice: as it is by itself, which is what the goal is against, and with our options of Parquet,
which are quicker to write and take half the room. The dirt must come out in quarantine to the row. Then one import
of more events runs in a process of its own, whose peak memory is read.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb

from honeyguide.data.database import PARQUET_OPTIONS
from honeyguide.data.ingest import ImportReport, import_files
from rows import Row, report

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = 50_000
DIRT = 2_000  # one row in this many is bad, for each of the reasons
TYPES = {
    "event_id": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "user_id": "VARCHAR",
    "kind": "VARCHAR",
    "item_id": "VARCHAR",
    "value": "DOUBLE",
    "session_id": "VARCHAR",
}
GOAL = 0.5
MEMORY_GOAL_MB = 1500


def main() -> None:
    """Run it all and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--memory-events", type=int, default=20_000_000)
    parser.add_argument("--seeds", type=int, default=5, help="rounds of interleaved runs")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = speed(folder, options.events, options.seeds)
        if options.memory_events:
            rows.append(memory(folder, options.memory_events))
    report(rows, options)


def speed(folder: Path, events: int, rounds: int) -> list[Row]:
    """Rows imported a second over rows copied a second, per kind of file."""
    write_items(folder)
    files = {kind: write_events(folder, events, kind, ids=True) for kind in ("csv", "jsonl", "parquet")}
    files["csv, no ids"] = write_events(folder, events, "csv", ids=False)
    speeds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, path in files.items():
            bare = timed(partial(copy, path, folder, ""))
            ours = timed(partial(import_and_check, path, folder, events))
            same = timed(partial(copy, path, folder, PARQUET_OPTIONS))
            speeds[name].append((events / ours, events / bare, events / same))
    rows = []
    for name, triples in speeds.items():
        ours_, bare_, same_ = (list(column) for column in zip(*triples, strict=True))
        goal = (
            GOAL if "ids" not in name else None
        )  # an id of its own for every event is work that COPY does not do
        rows.append(Row.of(f"import {name}", "events/s", ours_, "COPY", bare_, goal=goal))
        rows.append(Row.of(f"import {name}", "events/s", ours_, "COPY, our options", same_))
    return rows


def memory(folder: Path, events: int) -> Row:
    """The peak resident memory of a process that imports many events."""
    path = write_events(folder, events, "csv", ids=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        peak_mb = pool.apply(_peak_mb, (path, folder, events))
    value = float(peak_mb)
    return Row(
        name=f"import csv, {events / 1e6:g} M",
        metric="peak MB",
        value=value,
        spread=(value, value),
        rival="allowed",
        rival_value=float(MEMORY_GOAL_MB),
        ratio=MEMORY_GOAL_MB / value,
        goal=1.0,
        met=value <= MEMORY_GOAL_MB,
        seeds=1,
    )


def _peak_mb(path: Path, folder: Path, events: int) -> float:
    import_and_check(path, folder, events)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], object]) -> float:
    """The seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def import_one(path: Path, folder: Path) -> ImportReport:
    """Import a file into a new data folder that knows the items."""
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    shutil.copy(folder / "items.parquet", data / "items.parquet")
    return import_files(data, [path], now=NOW)


def import_and_check(path: Path, folder: Path, events: int) -> None:
    """Import, and look at what was put aside."""
    check(import_one(path, folder), path, events)


def check(found: ImportReport, path: Path, events: int) -> None:
    """The planted dirt, and nothing else, is in quarantine."""
    want = json.loads(path.with_name(path.name + ".dirt").read_text())
    got = {problem.reason: problem.rows for problem in found.problems}
    if got != want or found.events.kept != events - sum(want.values()):
        raise SystemExit(
            f"{path.name}: quarantine holds {got}, planted were {want}; kept {found.events.kept}"
        )


def copy(path: Path, folder: Path, options: str) -> None:
    """DuckDB's own way: the file, typed, into Parquet; what cannot be typed is dropped."""
    names = [name for name in TYPES if name != "event_id" or "no-ids" not in path.stem]
    types = "{" + ", ".join(f"'{name}': '{TYPES[name]}'" for name in names) + "}"
    reader = {
        ".csv": f"read_csv('{path}', auto_detect=false, header=true, delim=',', quote='\"', escape='\"', "
        f"ignore_errors=true, columns={types})",
        ".jsonl": f"read_json('{path}', format='newline_delimited', ignore_errors=true, columns={types})",
        ".parquet": f"read_parquet('{path}')",
    }[path.suffix]
    how = ", ".join(["FORMAT parquet", *([options] if options else [])])
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        db.execute(f"COPY (SELECT * FROM {reader}) TO '{folder}/copy.parquet' ({how})")


def write_items(folder: Path) -> None:
    """The catalogue that the events speak of."""
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT 'sku-' || i AS item_id, 'Item ' || i AS title FROM range({ITEMS}) t(i)) "
                   f"TO '{folder}/items.parquet'")  # fmt: skip


def write_events(folder: Path, events: int, kind: str, *, ids: bool) -> Path:
    """A log of `events` rows with dirt; how much of which kind stands beside it as JSON."""
    path = folder / f"events-{events}{'' if ids else '-no-ids'}.{kind}"
    typed = kind == "parquet"
    time_of = "make_timestamptz({us})" if typed else "strftime(make_timestamp({us}), '%Y-%m-%dT%H:%M:%S.%fZ')"
    bad = {
        "unknown_kind": 1,
        "unknown_item": 2,
        "time_impossible": 3,
        **({"duplicate_event_id": 4} if ids else {}),
        **({} if typed else {"time_unparsable": 5}),
    }
    us = f"CASE WHEN i % {DIRT} = 3 THEN 600000000000000 ELSE 1700000000000000 + i * 4000000 END"
    moment = time_of.format(us=f"({us})::BIGINT")
    if not typed:
        moment = f"CASE WHEN i % {DIRT} = 5 THEN 'last week' ELSE {moment} END"
    event_id = f"md5((CASE WHEN i % {DIRT} = 4 THEN i - 1 ELSE i END + {DIRT})::VARCHAR) AS event_id,"
    if ids:  # the id of a row that is put aside for another reason does not count as seen
        event_id = event_id.replace("i - 1", "i - 4")
    query = f"""
        SELECT {event_id if ids else ""} {moment} AS time,
               'user-' || (hash(i) % 250000) AS user_id,
               CASE WHEN i % {DIRT} = 1 THEN 'stare'
                    ELSE ['view', 'view', 'view', 'click', 'cart', 'purchase'][(1 + hash(i + 1) % 6)::INT]
                    END AS kind,
               CASE WHEN i % {DIRT} = 2 THEN 'sku-none-' || i ELSE 'sku-' || (hash(i + 2) % {ITEMS}) END AS item_id,
               round((hash(i + 3) % 10000) / 100, 2) AS value,
               's-' || (i // 7) AS session_id
        FROM range({events}) t(i)"""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET memory_limit = '2GB'")
        how = {"csv": "(FORMAT csv, HEADER)", "jsonl": "(FORMAT json)", "parquet": "(FORMAT parquet)"}[kind]
        db.execute(f"COPY ({query}) TO '{path}' {how}")
    counts = {name: len(range(place, events, DIRT)) for name, place in bad.items()}
    path.with_name(path.name + ".dirt").write_text(json.dumps(counts))
    return path


if __name__ == "__main__":
    main()
