"""A small shop with a clear structure: every user has two favourite kinds of item, one of them found late."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from honeyguide.config import Explore, Interests, Plm, Sequence, Settings
from honeyguide.data.ingest import import_files
from honeyguide.fit import FitReport, fit
from honeyguide.shop.workspace import Workspace
from tests.tiny_bert import MAX_TOKENS, save_tiny_bert

KINDS = ("coffee beans", "dog food", "frozen pizza", "garden tools", "hair shampoo", "running shoes")
PER_KIND = 8
USERS = 24
WEEKS = 20
START = datetime(2026, 1, 5, tzinfo=UTC)
NOW = START + timedelta(weeks=WEEKS + 1)
SPLIT = START + timedelta(weeks=14)


def write_files(folder: Path, *, users: int = USERS, weeks: int = WEEKS, seed: int = 0) -> tuple[Path, Path]:
    """events.csv and items.csv of the small shop."""
    rng = np.random.default_rng(seed)
    items = folder / "items.csv"
    with items.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "category", "brand"])
        for kind, name in enumerate(KINDS):
            for number in range(PER_KIND):
                writer.writerow(
                    [f"sku-{kind * PER_KIND + number}", f"{name} {number}", f"Shop > {name}", "Acme"]
                )
    events = folder / "events.csv"
    with events.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["event_id", "time", "user_id", "kind", "item_id", "value"])
        for user in range(users):
            first, second = rng.choice(len(KINDS), 2, replace=False)
            for week in range(weeks):
                kind = second if week > weeks // 2 and rng.random() < 0.5 else first
                time = START + timedelta(weeks=week, hours=float(rng.uniform(0, 150)))
                for item in rng.choice(4, 2, replace=False):
                    row = [f"e-{user}-{week}-{item}", time.isoformat(), f"user-{user}", "purchase"]
                    writer.writerow([*row, f"sku-{kind * PER_KIND + item}", "9.99"])
    return events, items


def small_settings(folder: Path) -> Settings:
    """Settings that suit a shop of this size; the language model is a tiny random one."""
    checkpoint = folder / "tiny-bert"
    save_tiny_bert(checkpoint)
    return replace(
        Settings(name="Small shop"),
        plm=Plm(model=str(checkpoint), max_tokens=MAX_TOKENS),
        interests=Interests(top=2, leaves=6, taste_dims=4),
        sequence=Sequence(epochs=5, width=16),
        explore=Explore(candidates=30, draws=16),
    )


def make_workspace(folder: Path) -> Workspace:
    """A workspace with the small shop imported."""
    workspace = Workspace.create(folder / "shop", small_settings(folder))
    import_files(workspace.data, write_files(folder), now=NOW)
    return workspace


def fitted_workspace(folder: Path, *, until: datetime | None = SPLIT) -> tuple[Workspace, FitReport]:
    """A workspace fitted on the first 14 of its 20 weeks."""
    workspace = make_workspace(folder)
    return workspace, fit(workspace, now=NOW, until=until)
