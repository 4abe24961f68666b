"""What leaves in a format that can also be imported comes back as the same events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from honeyguide.data.ingest import import_files
from honeyguide.data.sources.known import SOURCES
from honeyguide.export.shop import export_shop
from honeyguide.shop.workspace import Workspace
from tests.export_fixture import ITEMS, NOW, ODD_ID, log_of, log_pages, make_shop_with_events, rows_of

ITEM_TEXTS = ("item_id", "title", "description", "category", "brand", "price")
WORTHS = [("cup", "purchase", 12.5), ("jam", "rating", 4.0)]
PATH = "Food & Drink > Hot drinks > Loose > Green"
REGISTERED = {source.name for source in SOURCES}
Occurrence = tuple[str, str, str, datetime]


def needs_importer(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(name not in REGISTERED, reason=f"there is no importer of {name} (yet)")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_shop_with_events(tmp_path_factory.mktemp("roundtrip"))
    log_pages(workspace, 20, k=2)
    return workspace


def imported(shop: Workspace, name: str, folder: Path, *, suffixes: tuple[str, ...]) -> set[Occurrence]:
    """(user, item, kind, time) of the events after an export and an import into an empty place."""
    report = export_shop(shop, name, folder / "out", now=NOW)
    files = [report.out] if report.out.is_file() else [report.out / file.name for file in report.files]
    wanted = [file for file in files if file.suffix in suffixes or report.out.is_file()]
    import_files(folder / "data", wanted, format=name, now=NOW)
    return occurrences(folder / "data" / "events.parquet")


def occurrences(events: Path, where: str = "true") -> set[Occurrence]:
    found = rows_of(f"""SELECT user_id, item_id, kind, epoch_us("time") FROM read_parquet('{events}')
                        WHERE {where}""")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {(user, item, kind, epoch + timedelta(microseconds=us)) for user, item, kind, us in found}


def told(data: Path, table: str, *columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    """These columns of a stored table, sorted by the first; attributes as Python has them."""
    found = rows_of(
        f"SELECT {', '.join(columns)} FROM read_parquet('{data / table}.parquet') WHERE {where} ORDER BY 1"
    )
    return [tuple(json.loads(v) if str(v).startswith("{") else v for v in row) for row in found]


@needs_importer("personalize")
def test_personalize(shop: Workspace, tmp_path: Path) -> None:
    back = imported(shop, "personalize", tmp_path, suffixes=(".csv", ".json"))
    given = occurrences(shop.events, "item_id IS NOT NULL AND consent IS NULL AND kind <> 'impression'")
    in_seconds = {(user, item, kind, time.replace(microsecond=0)) for user, item, kind, time in given}
    assert {event for event in back if event[2] != "impression"} == in_seconds
    data = tmp_path / "data"
    assert told(data, "events", "item_id", "kind", "value", where="value IS NOT NULL") == WORTHS
    page = "decision_id = 'd9' AND kind"
    assert told(data, "events", "item_id", where=f"{page} = 'click'") == [("oat",)]
    shown = told(data, "events", "position", "item_id", where=f"{page} = 'impression'")
    assert shown == [(0, "tea"), (1, "oat")]
    assert told(data, "items", *ITEM_TEXTS) == [
        (item, f'Fine\t"{item}", новый', "line one line two", PATH, "Åse's", 3.5)
        for item in sorted((*ITEMS, ODD_ID))
    ]
    assert told(data, "users", "user_id", "attributes") == [
        ("user-0", {"city": "Bonn"}),
        ("user-1", {"a_1st_visit_": "2025", "age_group": "30-39", "city": "Malmö\tS"}),
    ]


@needs_importer("recbole")
def test_recbole(shop: Workspace, tmp_path: Path) -> None:
    back = imported(shop, "recbole", tmp_path, suffixes=(".inter", ".item", ".user"))
    given = occurrences(shop.events, "item_id <> 'odd\"id' AND consent IS NULL")
    assert back == given
    data = tmp_path / "data"
    assert told(data, "events", "item_id", "kind", "value", where="value IS NOT NULL") == WORTHS
    assert told(data, "events", "item_id", "kind", where="session_id = 's1'") == [("oat", "click")]
    assert told(data, "items", *ITEM_TEXTS) == [
        (item, f"Fine '{item}', новый", "line one line two", PATH, "Åse's", 3.5) for item in sorted(ITEMS)
    ]
    assert told(data, "users", "user_id", "attributes") == [
        ("user-0", {"city": "Bonn"}),
        ("user-1", {"1st/visit~": "2025", "age_group": "30-39", "city": "Malmö S"}),
    ]


@pytest.mark.parametrize(
    ("name", "suffixes"), [("personalize", (".csv",)), ("recbole", (".inter", ".item", ".user"))]
)
def test_what_leaves_is_known_again_without_being_called_by_its_format(
    shop: Workspace, tmp_path: Path, name: str, suffixes: tuple[str, ...]
) -> None:
    named = imported(shop, name, tmp_path / "named", suffixes=suffixes)
    files = [file for file in sorted((tmp_path / "named" / "out").iterdir()) if file.suffix in suffixes]
    import_files(tmp_path / "found", files, now=NOW)
    assert occurrences(tmp_path / "found" / "events.parquet") == named
    for table in ("items", "users"):
        assert told(tmp_path / "found", table, "*") == told(tmp_path / "named" / "data", table, "*")


@needs_importer("dsjson")
def test_dsjson(shop: Workspace, tmp_path: Path) -> None:
    back = imported(shop, "dsjson", tmp_path, suffixes=())
    shown, rewarded = set(), set()
    with log_of(shop) as log:
        for page in log.settled():
            decision = page.decision
            for item_id, reward in zip(decision.item_ids, page.rewards, strict=True):
                shown.add((decision.user_id, item_id, decision.time))
                rewarded |= {(decision.user_id, item_id)} if reward else set()
    assert {(user, item, time) for user, item, kind, time in back if kind == "impression"} == shown
    assert {(user, item) for user, item, kind, _ in back if kind != "impression"} == rewarded
