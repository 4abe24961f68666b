"""A small random shop for the labelled data sets, and what its files hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from honeyguide.config import Labels
from honeyguide.data.labels.parts import PARTS
from honeyguide.data.split import moments_by_share
from honeyguide.data.table import EventTable, to_us
from honeyguide.types import EVENT_KINDS
from tests.label_tables import DAY_US, store

SETTINGS = Labels(window_days=7, smallest_class=2, validation=0.2, test=0.2)
DAYS = 100
VALIDATION_US, TEST_US = 60 * DAY_US, 80 * DAY_US  # up to the microsecond that the last event takes
CATEGORIES = (
    "Shoes > Boots",
    "Shoes > Boots",
    "Shoes > Sandals",
    "Shoes > Sandals",
    "Hats",
    "Hats",
    "Belts",
    "",
)
ITEMS = tuple(f"i{n}" for n in range(len(CATEGORIES)))
IN_TIME = (
    "interactions", "visits", "outcomes", "next_interests", "shown", "negatives", "ad_responses",
)  # fmt: skip
BY_CHANCE = ("item_classes", "sentiments", "intents")

IMPRESSION = EVENT_KINDS.index("impression")

Rows = list[tuple[Any, ...]]


def day_of(moment: str | None) -> float:
    assert moment is not None
    return to_us(datetime.fromisoformat(moment)) / DAY_US


def read(folder: Path, name: str, *, part: str | None = None) -> Rows:
    """The rows of a labelled data set as they lie, times as microseconds."""
    path = folder / "labels" / f"{name}.parquet"
    with duckdb.connect() as db:
        columns = [row[0] for row in db.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()]
        chosen = ", ".join("epoch_us(time)" if c == "time" else f'"{c}"' for c in columns)
        where = f"WHERE part = '{part}'" if part else ""
        return db.execute(f"SELECT {chosen} FROM read_parquet('{path}') {where}").fetchall()


def random_events(seed: int, *, since: float = 0, until: float = DAYS) -> Iterator[dict[str, Any]]:
    """Some weeks of shopping, with pages, reviews and searches; the first and the last moment are always there."""
    rng = np.random.default_rng(seed)
    kinds = ["view", "click", "cart", "purchase", "rating", "dismiss", "impression", "search"]
    for n in range(160):
        day, kind = float(rng.uniform(since, until)), str(rng.choice(kinds))
        row: dict[str, Any] = {
            "event_id": f"e{seed}-{n}",
            "user_id": f"u{rng.integers(6)}",
            "time": day,
            "kind": kind,
            "item_id": None if kind == "search" else ITEMS[rng.integers(len(ITEMS))],
        }
        if kind == "rating":
            stars = int(rng.integers(1, 6))
            row |= {"value": stars, "text": f"I give it {stars} {rng.integers(99)}"}
        if kind in ("impression", "click", "dismiss"):
            row |= {"decision_id": [None, "d0", "d1", "d2"][rng.integers(4)]}
        if kind == "impression":
            row |= {"position": int(rng.integers(4)), "propensity": float(rng.uniform(0.1, 1))}
        yield row


def edges() -> list[dict[str, Any]]:
    first = {"event_id": "first", "user_id": "u0", "time": 0, "kind": "purchase", "item_id": "i0"}
    return [first, {**first, "event_id": "last", "time": DAYS, "user_id": "last"}]


def random_touches(seed: int, *, since: float = 0, until: float = DAYS) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    for n in range(60):
        yield {
            "touch_id": f"t{seed}-{n}",
            "user_id": f"u{rng.integers(6)}",
            "campaign_id": f"c{rng.integers(4)}",
            "time": float(rng.uniform(since, until)),
            "kind": str(rng.choice(["sent", "withheld", "visit", "click", "redeemed"])),
            "value": float(rng.integers(9)),
        }


def store_items(folder: Path) -> None:
    rows = zip(ITEMS, CATEGORIES, strict=True)
    store(folder, "items", [{"item_id": i, "title": f"t {i}", "category": c or None} for i, c in rows])


def fill(folder: Path, *seeds: int, cut: float | None = None) -> Path:
    """A random shop; with `cut` what happens from that day on is of the second seed."""
    folder.mkdir(exist_ok=True)
    store_items(folder)
    spans = [(seeds[0], {})] if cut is None else [(seeds[0], {"until": cut}), (seeds[1], {"since": cut})]
    events = [row for seed, span in spans for row in random_events(seed, **span)]
    store(folder, "events", [*edges(), *events])
    touches = [row for seed, span in spans for row in random_touches(seed, **span)]
    store(folder, "touches", touches)
    store(
        folder,
        "messages",
        [{"message_id": f"m{n:02}", "text": f"say {n}", "intent": f"x{n % 3}"} for n in range(30)],
    )
    return folder


def parts_of(table: EventTable, first_us: Any, last_us: Any) -> Any:
    """The name of the part that holds both ends, None where none does, worked out moment by moment."""
    validation, test = map(to_us, moments_by_share(table, validation=0.2, test=0.2))
    bounds = [(-(10**18), validation - 1), (validation, test - 1), (test, int(table.time_us[-1]))]
    return [
        next((PARTS[n] for n, (low, high) in enumerate(bounds) if low <= first and last <= high), None)
        for first, last in zip(first_us, last_us, strict=True)
    ]


def ids_in_order(folder: Path) -> list[str]:
    path = folder / "events.parquet"
    with duckdb.connect() as db:
        found = db.execute(f"SELECT event_id FROM read_parquet('{path}') ORDER BY time, event_id").fetchall()
    return [event_id for (event_id,) in found]
