"""What leaves in a format that can also be imported comes back as the same events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from honeyguide.data.ingest import import_files
from honeyguide.data.sources.known import SOURCES
from honeyguide.export.shop import export_shop
from honeyguide.shop.workspace import Workspace
from tests.export_fixture import NOW, log_of, log_pages, make_shop_with_events, rows_of

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


@needs_importer("personalize")
def test_personalize(shop: Workspace, tmp_path: Path) -> None:
    back = imported(shop, "personalize", tmp_path, suffixes=(".csv",))
    given = occurrences(shop.events, "kind IN ('view', 'click', 'cart', 'purchase') AND consent IS NULL")
    in_seconds = {(user, item, kind, time.replace(microsecond=0)) for user, item, kind, time in given}
    others = ("rating", "dismiss", "impression")  # what has no name there, or stands beside a reaction
    assert {event for event in back if event[2] not in others} == in_seconds


@needs_importer("recbole")
def test_recbole(shop: Workspace, tmp_path: Path) -> None:
    back = imported(shop, "recbole", tmp_path, suffixes=(".inter", ".item", ".user"))
    given = occurrences(shop.events, "item_id <> 'odd\"id' AND consent IS NULL")
    assert {(user, item, time) for user, item, _, time in back} == {(u, i, t) for u, i, _, t in given}


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
