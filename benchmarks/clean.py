"""How long does cleaning take, beside a bare query that only removes twins and makes sessions?

python benchmarks/clean.py [--events N] [--seeds N] [--json OUT]

A log of N events with every kind of dirt planted in it (at most a few per cent of each), as a shop would import it.
The rival is one DuckDB query over the same file: one window for twins, two for sessions, written with the same
options. Both run in turn, each time in a process of its own; what cleaning counts must be exactly what was planted.
Rates are millions of events a second, so that a ratio of 0.5 means: twice the time of the bare query.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from honeyguide.config import Clean
from honeyguide.data.clean import clean
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import database, literal, number, parquet, write_parquet
from rows import Row, report

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LIMIT_GB = 1.5
ITEMS = 30_000
RATE_BOTS, CRAWLERS = 20, 20
TWIN = "user_id, item_id, kind, value, query, decision_id, position"

# user, session and event number; one user in a hundred comes ten times as often
_SHOPPERS = """
    FROM (SELECT u, k, unnest(range((1 + hash(u, k, seed, 2) % 19)::BIGINT)) AS j FROM
        (SELECT u, unnest(range(((1 + hash(u, seed, 1) % 7) * if(u % 100 = 0, 10, 1))::BIGINT)) AS k
         FROM range({users}) AS people(u), (SELECT {seed} AS seed)), (SELECT {seed} AS seed))"""
# sessions lie on days of their own, events at least 4 s apart: nothing here is dirty by chance
_PLAIN = """
    SELECT u, format('e{{}}-{{}}-{{}}', u, k, j) AS event_id, 'user-' || u AS user_id,
           1704067200000000 + ((k * 9 + (hash(u, k, {seed}, 3) % 8)::BIGINT) * 86400
               + (hash(u, k, {seed}, 4) % 40000)::BIGINT + j * 60 + (hash(u, k, j, {seed}, 5) % 55)::BIGINT) * 1000000
               + 1000 * (hash(u, j) % 1000)::BIGINT AS t,
           hash(u, k, j, {seed}, 6) % 100 AS chance, hash(u, k, j, {seed}, 9) % 1000 AS lot,
           floor({items} * pow((hash(u, k, j, {seed}, 7) % 1000000) / 1e6, 3))::INT AS nr {shoppers}"""
_KINDS = """
    SELECT *, CASE WHEN chance < 75 THEN 'view' WHEN chance < 85 THEN 'click' WHEN chance < 93 THEN 'cart'
                   WHEN chance < 98 THEN 'purchase' ELSE 'search' END AS kind FROM ({plain})"""
_PLANS = """
    SELECT *, CASE
        WHEN lot = 0 THEN 'without_consent'
        WHEN lot < 6 THEN 'twice'
        WHEN lot < 9 THEN 'twice, soon'
        WHEN lot < 10 THEN 'future'
        WHEN kind = 'purchase' AND lot < 60 THEN 'refunded_purchase'
        WHEN kind = 'purchase' AND lot < 70 THEN 'non_positive_purchase'
        WHEN kind = 'purchase' AND lot < 71 THEN 'value_outlier'
        WHEN kind = 'purchase' AND lot < 85 AND nr < 5 THEN 'price_outlier'
        WHEN kind = 'view' AND lot < 85 THEN 'item_gone'
        WHEN lot BETWEEN 85 AND 99 THEN 'identity'
        WHEN kind = 'search' AND lot > 750 THEN 'query_spelling' END AS plan FROM ({kinds})"""
_ROWS = """
    SELECT event_id, t + if(plan = 'future', 400000000000000, 0) AS t,
           if(plan = 'identity', 'cookie-' || u, user_id) AS user_id, kind,
           CASE WHEN kind <> 'search' THEN if(plan = 'item_gone', 'gone-', 'sku-') || nr END AS item_id,
           CASE WHEN kind = 'search' THEN if(plan = 'query_spelling', 'Query  ', 'query ') || nr % 5000 END AS query,
           CASE WHEN kind = 'purchase' THEN
               CASE plan WHEN 'non_positive_purchase' THEN 0 WHEN 'value_outlier' THEN 5000
                         WHEN 'price_outlier' THEN 999 ELSE 5 + nr % 20 END END::DOUBLE AS value,
           plan IS DISTINCT FROM 'without_consent' AS consent, plan
    FROM ({plans})"""
_ALL = """
    WITH told AS ({rows})
    FROM told
    UNION ALL SELECT * REPLACE (event_id || '-again' AS event_id, 'duplicate' AS plan) FROM told WHERE plan = 'twice'
    UNION ALL SELECT * REPLACE (event_id || '-again' AS event_id, t + 400000 AS t, 'near_duplicate' AS plan)
              FROM told WHERE plan = 'twice, soon'
    UNION ALL SELECT * REPLACE (event_id || '-back' AS event_id, t + 3600000000 AS t, -value AS value,
                                'refund' AS plan) FROM told WHERE plan = 'refunded_purchase'
    UNION ALL SELECT format('r{{}}-{{}}', u, n), 1704067200000000 + n * 20000000, 'fast-' || u, 'view',
                     'sku-' || n % 200, NULL, NULL, true, 'bot' FROM range({fast}) AS a(u), range(3000) AS b(n)
    UNION ALL SELECT format('c{{}}-{{}}', u, n), 1704067200000000 + n * 60000000, 'crawler-' || u, 'view',
                     'sku-' || n, NULL, NULL, true, 'bot' FROM range({crawlers}) AS a(u), range(900) AS b(n)"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: seconds, GB at most, and what was counted by rule."""

    seconds: float
    peak_gb: float
    counts: dict[str, int]


def make_log(folder: Path, events: int, seed: int) -> dict[str, int]:
    """Write events, items and identities of about so many events; the number of events planted for each rule."""
    facts = {"seed": seed, "users": max(events // 44, 10), "items": ITEMS}
    shoppers = _SHOPPERS.format(**facts)
    kinds = _KINDS.format(plain=_PLAIN.format(shoppers=shoppers, **facts))
    rows = _ROWS.format(plans=_PLANS.format(kinds=kinds))
    log = _ALL.format(rows=rows, fast=RATE_BOTS, crawlers=CRAWLERS)
    made = {"time": "make_timestamptz(t)", "quantity": "CASE WHEN kind = 'purchase' THEN 1 END::DOUBLE"}
    made |= {name: name for name in ("event_id", "user_id", "kind", "item_id", "query", "value", "consent")}
    columns = ", ".join(f'{made.get(name, f"NULL::{kind}")} AS "{name}"' for name, kind in EVENTS.items())
    with database(folder) as db:
        write_parquet(db, f"SELECT {columns}, plan FROM ({log})", folder / "events.parquet")
        items = f"SELECT 'sku-' || i AS item_id, 'Thing ' || i AS title FROM range({ITEMS}) AS them(i)"
        write_parquet(db, items, folder / "items.parquet")
        ids = "'cookie-' || u AS anonymous_id, 'user-' || u AS user_id"
        people = f"SELECT {ids} FROM range({facts['users']}) AS them(u)"
        write_parquet(db, people, folder / "identities.parquet")
        found = db.execute(
            f"SELECT plan, count(*) FROM {parquet(folder / 'events.parquet')} GROUP BY plan"
        ).fetchall()
    return {plan: n for plan, n in found if plan and not plan.startswith("twice")}


def run_clean(folder: Path) -> Outcome:
    """Clean the folder."""
    began = time.perf_counter()
    done = clean(folder, Clean(), now=NOW)
    seconds = time.perf_counter() - began
    counts = {rule.rule: rule.rows for rule in done.rules if rule.table == "events" and rule.rows}
    counts["left"] = done.events_out
    return Outcome(seconds, _peak_gb(), counts)


def run_bare(folder: Path) -> Outcome:
    """Remove twins and make sessions of the same file in one query, and write it."""
    columns = ", ".join(f'"{name}"' for name in EVENTS if name != "session_id")
    fresh = 'coalesce(epoch_us("time") - lag(epoch_us("time")) OVER mine > 1800000000, true)::INT'
    query = f"""
        SELECT {columns}, user_id || '-' || sum(fresh) OVER mine AS session_id FROM
            (SELECT *, {fresh} AS fresh FROM
                (SELECT *, epoch_us("time") - lag(epoch_us("time")) OVER twins AS gap
                 FROM {parquet(folder / "events.parquet")}
                 WINDOW twins AS (PARTITION BY {TWIN} ORDER BY "time"))
             WHERE coalesce(gap > 1000000, true) WINDOW mine AS (PARTITION BY user_id ORDER BY "time"))
        WINDOW mine AS (PARTITION BY user_id ORDER BY "time")"""
    began = time.perf_counter()
    with database(folder) as db:
        write_parquet(db, query, folder / "bare.parquet")
        left = number(db, f"SELECT count(*) FROM {parquet(folder / 'bare.parquet')}")
    return Outcome(time.perf_counter() - began, _peak_gb(), {"left": left})


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def alone(task: object, folder: Path) -> Outcome:
    """The outcome of a task in a fresh process, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run_clean if task is run_clean else run_bare, folder).result()


def check(counted: dict[str, int], planted: dict[str, int]) -> None:
    """Stop where cleaning counted anything else than what was planted."""
    expected = dict(planted)
    found = {rule: rows for rule, rows in counted.items() if rule not in ("left", "session")}
    if found != expected:
        wrong = {rule: (found.get(rule, 0), expected.get(rule, 0)) for rule in found.keys() | expected.keys()}
        raise SystemExit(
            f"counted, planted: {dict(sorted((k, v) for k, v in wrong.items() if v[0] != v[1]))}"
        )


def main() -> None:
    """Run both in turn and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    ours, bare, peaks = [], [], []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="clean-") as name:
            folder = Path(name)
            planted = make_log(folder, options.events, seed)
            with database() as db:
                events = number(
                    db, f"SELECT count(*) FROM read_parquet({literal(str(folder / 'events.parquet'))})"
                )
            theirs, mine = alone(run_bare, folder), alone(run_clean, folder)
            check(mine.counts, planted)
            ours.append(events / mine.seconds / 1e6)
            bare.append(events / theirs.seconds / 1e6)
            peaks.append(mine.peak_gb)
    peak = max(peaks)
    memory = Row(
        "clean",
        "peak GB",
        peak,
        (min(peaks), peak),
        "limit",
        LIMIT_GB,
        LIMIT_GB / peak,
        1.0,
        peak <= LIMIT_GB,
        len(peaks),
    )
    report([Row.of("clean", "M events/s", ours, "bare DuckDB query", bare, goal=0.5), memory], options)


if __name__ == "__main__":
    main()
