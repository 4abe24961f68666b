"""Searches are events: what somebody looked for says what they take next."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide.config import Sequence as SequenceSettings
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.ingest import import_files
from honeyguide.data.split import leave_one_out
from honeyguide.data.table import load_events
from honeyguide.fit import fit
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.users import History, ShopperModel
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.recommend import after_query
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Event
from tests.shop_fixture import NOW, small_settings

KINDS = ("coffee", "pizza", "shampoo")
START = datetime(2026, 1, 5, tzinfo=UTC)


def write(folder: Path) -> tuple[Path, Path]:
    """Users who search for any kind of thing and take one of it: only the search says which."""
    items, events = folder / "items.csv", folder / "events.csv"
    with items.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title"])
        writer.writerows([f"{kind}-{number}", f"{kind} {number}"] for kind in KINDS for number in range(4))
    rng = np.random.default_rng(0)
    with events.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["event_id", "time", "user_id", "kind", "item_id", "query"])
        for user in range(40):
            for visit in range(8):
                kind = KINDS[rng.integers(0, 3)]
                time = START + timedelta(days=7 * visit, minutes=int(rng.integers(0, 600)))
                name = f"{user}-{visit}"
                writer.writerow([f"s{name}", time.isoformat(), f"u{user}", "search", "", f" {kind.upper()}"])
                later = (time + timedelta(minutes=2)).isoformat()
                writer.writerow(
                    [f"p{name}", later, f"u{user}", "purchase", f"{kind}-{rng.integers(0, 4)}", ""]
                )
    return events, items


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    settings: Settings = replace(
        small_settings(folder),
        sequence=SequenceSettings(
            epochs=60,
            steps=240,
            batch=16,
            width=16,
            patience=60,
            dropout=0.0,
            learning_rate=1e-2,
            weight_decay=0.01,
        ),
    )
    workspace = Workspace.create(folder / "shop", settings)
    import_files(workspace.data, write(folder), now=NOW)
    fit(workspace, now=NOW)
    return workspace.root


def test_the_table_has_the_searches_and_the_sequences_read_them(shop: Path) -> None:
    workspace = Workspace.at(shop)
    catalog = Catalog.read(workspace.items)
    table = load_events(workspace.events, catalog)
    assert table.queries == ("coffee", "pizza", "shampoo")  # as cleaning writes them
    sequences = Sequences.of(table, len(catalog))
    tokens = sequences.tokens[: sequences.starts[1]]
    assert (tokens[::2] >= len(catalog)).all()
    assert (tokens[1::2] < len(catalog)).all()
    assert len(sequences.ending_in_items(len(catalog)).tokens) == len(sequences.tokens)
    later = table.between(since=START + timedelta(days=30))
    parts = leave_one_out(table)
    for part in (later, parts.train, parts.validation, parts.test):
        assert part.query is not None
        assert ((part.query >= 0) == (part.item < 0)).all()  # what was searched for stays with its event


def test_what_was_searched_for_is_what_is_likely_next(shop: Path) -> None:
    with Honeyguide.open(shop) as opened:
        for kind in KINDS:
            history = after_search(opened.model, f"{kind}!")
            likely = opened.model.likely(history, np.arange(len(opened.fitted.catalog)))
            best = [opened.fitted.catalog.ids[row] for row in np.argsort(-likely)[:4]]
            assert all(item.startswith(kind) for item in best), (kind, best)


def test_a_search_that_nobody_made_before_is_a_day_and_no_more(shop: Path) -> None:
    with Honeyguide.open(shop) as opened:
        state = after_search(opened.model, "garden gnome")
        assert not len(state.recent)
        assert len(state.days) == 1


def test_a_search_puts_first_what_others_took_after_it(shop: Path) -> None:
    with Honeyguide.open(shop) as opened:
        rows = np.arange(len(opened.fitted.catalog))
        start = opened.model.start()
        for kind in KINDS:
            wanted = after_query(opened.model, start, kind, rows, NOW)
            taken = [opened.fitted.catalog.ids[row] for row in np.argsort(-wanted)[:4]]
            assert all(item.startswith(kind) for item in taken)
        unknown = after_query(opened.model, start, "garden gnome", rows, NOW)
        assert not unknown.any()
        found = opened.search("pizza", k=4, now=NOW)
        wanted = after_query(opened.model, start, "pizza", rows, NOW)
        best = max((item for item in found), key=lambda item: wanted[opened.fitted.catalog.row(item.item_id)])
        without = opened.search("pizza number", k=4, now=NOW)  # nobody searched for that before
        gained = {item.item_id: item.score for item in found}
        assert gained[best.item_id] == max(gained.values())
        assert {item.item_id for item in without} == set(gained)


def after_search(model: ShopperModel, query: str) -> History:
    return model.fold(model.start(), Event("q", NOW, "somebody", "search", query=query))


def test_searches_at_the_end_are_followed_by_nothing() -> None:
    sequences = Sequences.of_items(np.array([0, 9, 1, 9, 9, 9]), np.array([0, 5, 6]))
    ended = sequences.ending_in_items(5)
    assert ended.tokens.tolist() == [0, 9, 1]
    assert ended.starts.tolist() == [0, 3, 3]
