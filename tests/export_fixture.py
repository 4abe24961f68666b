"""A shop to export: awkward texts, everything a user can do, and a journal of pages whose odds are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from honeyguide.config import Settings
from honeyguide.data.columns import STORED, Table
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.export.log import DecisionLog
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Candidates, Decision, Event, EventKind, Floats, Plan, Policy, State

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
NOW = START + timedelta(days=60)
WINDOW = timedelta(days=14)
ITEMS = ("tea", "cup", "jam", "oat", "rye")
ODD_ID = 'odd"id'
EVENTS = (
    {"event_id": "e1", "kind": "view", "item_id": "tea"},
    {"event_id": "e2", "kind": "search", "query": 'a "hot"\tdrink,\nplease'},
    {"event_id": "e3", "kind": "purchase", "item_id": "cup", "value": "12.5", "currency": "EUR", "quantity": "2"},
    {"event_id": "e4", "kind": "rating", "item_id": "jam", "value": "4", "text": "süß, 好吃 \"really\""},
    {"event_id": "e5", "kind": "impression", "item_id": "tea", "decision_id": "d9", "position": "0"},
    {"event_id": "e6", "kind": "impression", "item_id": "oat", "decision_id": "d9", "position": "1"},
    {"event_id": "e7", "kind": "click", "item_id": "oat", "decision_id": "d9", "position": "1", "session_id": "s1"},
    {"event_id": "e8", "kind": "view", "item_id": "tea", "consent": "false"},
    {"event_id": "e9", "kind": "dismiss", "item_id": ODD_ID},
    {"event_id": "e10", "kind": "cart", "item_id": "jam"},
)  # fmt: skip


def time_of(number: int) -> datetime:
    """When the event at this place of EVENTS was."""
    return START + timedelta(hours=number, microseconds=number)


def make_shop(folder: Path) -> Workspace:
    """A workspace in which nothing was imported and nothing decided."""
    return Workspace.create(folder / "shop", Settings(name="Export"))


def make_shop_with_events(folder: Path) -> Workspace:
    """A workspace as if cleaned: EVENTS of two users, items with awkward texts, and attributes of users."""
    workspace = make_shop(folder)
    events = [
        {"time": time_of(number).isoformat(), "user_id": f"user-{number % 2}", **event}
        for number, event in enumerate(EVENTS)
    ]
    store("events", events, workspace.events)
    store("items", [_item(item_id) for item_id in (*ITEMS, ODD_ID)], workspace.items)
    known = {"age group": "30-39", "city": "Malmö\tS", "1st/visit~": "2025"}
    users = [("user-0", {"city": "Bonn"}), ("user-1", known)]
    rows = [{"user_id": user, "attributes": json.dumps(attributes)} for user, attributes in users]
    store("users", rows, workspace.data / "users.parquet")
    return workspace


def _item(item_id: str) -> dict[str, str]:
    return {
        "item_id": item_id,
        "title": f'Fine\t"{item_id[:9]}", новый',
        "description": "line one\nline two",
        "category": "Food & Drink > Hot drinks > Loose > Green",
        "brand": "Åse's",
        "price": "3.5",
    }


def store(table: Table, rows: list[dict[str, str]], path: Path) -> None:
    """Rows of texts as a canonical table; what they do not say is NULL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in STORED[table])
    columns = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in STORED[table].items())
    read = f"read_json('{lines}', format = 'newline_delimited', columns = {{{types}}})"
    rows_of(f"COPY (SELECT {columns} FROM {read}) TO '{path}' (FORMAT parquet)")
    lines.unlink()


class FixedOdds(Uniform):
    """Draws every slot in proportion to the first feature, whoever else is still there."""

    name = "fixed-odds"

    def plan(self, candidates: Candidates) -> Plan:
        return Plan(0.5, "fixed odds", candidates.features[:, 0].astype(np.float64))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        odds = candidates.features[:, 0].astype(np.float64)
        return np.asarray(odds / odds.sum())

    @classmethod
    def from_state(cls, state: State) -> FixedOdds:
        return cls()


def page(
    number: int,
    *,
    k: int,
    policy: Policy,
    items: tuple[str, ...] = ITEMS,
    days: float = 0.0,
    pins: dict[int, int] | None = None,
) -> Decision:
    """Decision `d<number>` for one of seven users; the order of its candidates changes from page to page."""
    rng = stream(7, f"page {number}")
    order = rng.permutation(len(items))
    features = np.stack([np.arange(1, len(items) + 1), rng.normal(size=len(items))], axis=1).astype(
        np.float32
    )
    candidates = Candidates(f"user-{number % 7}", tuple(items[i] for i in order), features[order], 2.0)
    time = START + timedelta(days=days, minutes=number)
    request = Request(f"d{number}", time, "home", policy.name, "model-1")
    return decide(policy, candidates, k=k, request=request, rng=rng, pins=pins)


def feedback(decision: Decision, item_id: str, kind: EventKind = "purchase", *, hours: float = 1.0) -> Event:
    """What the decision's user did with a shown item so many hours later."""
    time = decision.time + timedelta(hours=hours)
    name = f"{decision.decision_id}:{item_id}:{kind}:{hours}"
    return Event(name, time, decision.user_id, kind, item_id, decision_id=decision.decision_id)


def log_pages(
    workspace: Workspace, n: int, *, k: int, policy: Policy | None = None, days: float = 0.0, first: int = 0
) -> list[Decision]:
    """Put `n` pages into the journal; whoever is shown tea buys it, and nobody reacts to anything else."""
    decisions = [page(first + i, k=k, policy=policy or Uniform(), days=days) for i in range(n)]
    bought = [feedback(decision, "tea") for decision in decisions if "tea" in decision.item_ids]
    with journal_of(workspace) as journal:
        journal.append([*decisions, *bought])
    return decisions


@contextmanager
def journal_of(workspace: Workspace) -> Iterator[SqliteJournal]:
    """The shop's journal, closed at the end."""
    journal = SqliteJournal(workspace.journal)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def log_of(workspace: Workspace) -> Iterator[DecisionLog]:
    """The decision log as an export would read it now."""
    with journal_of(workspace) as journal:
        yield DecisionLog.read(journal, grade=workspace.settings.labels.grade, window=WINDOW, now=NOW)


def rows_of(query: str) -> list[tuple[Any, ...]]:
    """What a query gives in a database of its own."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        return db.execute(query).fetchall()


def of_kinds(*kinds: str) -> list[tuple[str, str | None, str, datetime]]:
    """(user, item, kind, time) of the events of these kinds, sorted: what has to survive a round trip."""
    found = [
        (f"user-{number % 2}", event.get("item_id"), event["kind"], time_of(number))
        for number, event in enumerate(EVENTS)
        if event["kind"] in kinds
    ]
    return sorted(found, key=str)


def in_whole_seconds(
    events: list[tuple[str, str | None, str, datetime]],
) -> list[tuple[str, str | None, str, datetime]]:
    """The same events in a format that keeps no fractions of a second."""
    return [(*event[:3], replace_microsecond(event[3])) for event in events]


def replace_microsecond(time: datetime) -> datetime:
    """`time` at its full second."""
    return time.replace(microsecond=0)
