"""The next fit takes what was put and deleted into the imported catalogue, each change once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from honeyguide import Honeyguide
from honeyguide.data.ingest import import_files
from honeyguide.data.item import Item
from honeyguide.data.restock import restock
from honeyguide.errors import UnknownItem
from honeyguide.fit import fit
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT, write_files

COFFEE = Item(
    "new-coffee", title="coffee beans dark", category="Shop > coffee beans", brand="Acme", price=7.5
)


def rows(folder: Path) -> dict[str, tuple[object, ...]]:
    columns = "title, price, brand, available, epoch_us(created_at), attributes"
    found = duckdb.sql(
        f"SELECT item_id, {columns} FROM read_parquet('{folder / 'items.parquet'}')"
    ).fetchall()
    return {row[0]: row[1:] for row in found}


def test_puts_and_deletions_go_into_the_table_and_nothing_else_changes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    import_files(data, write_files(tmp_path, users=2, weeks=2), now=NOW)
    before = rows(data)
    came = NOW - timedelta(days=2)
    full = replace(COFFEE, available=False, attributes='{"roast":"dark"}', created_at=NOW)
    puts = {
        "new-coffee": (full, came),
        "a": (Item("a", title="'; DROP"), came),
        "sku-3": (Item("sku-3"), came),
    }
    assert restock(data, puts, ["sku-1", "nobody-has-this"]) == len(before) + 1
    after, us = rows(data), round(came.timestamp() * 1e6)
    assert after["new-coffee"] == (full.title, 7.5, "Acme", False, us + 2 * 86_400_000_000, full.attributes)
    assert after["a"] == ("'; DROP", None, None, None, us, None)
    assert after["sku-3"] == (None, None, None, None, None, None)
    assert "sku-1" not in after
    assert list(after) == sorted(after)
    for name in set(before) - {"sku-1", "sku-3"}:
        assert after[name] == before[name]
    again = rows(data)
    restock(data, puts, ["sku-1"])
    assert rows(data) == again


@pytest.mark.slow
def test_after_a_fit_the_tail_has_ended_and_nothing_of_it_is_lost(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    with Honeyguide.open(folder, clock=lambda: NOW) as before:
        before.put_items([COFFEE, replace(COFFEE, item_id="gone-again")])
        before.delete_items(["sku-1", "gone-again"])
        page = before.decide("newcomer", k=1, candidates=["new-coffee"])
        before.feedback(page.decision_id, "new-coffee", "purchase")
        end = before.journal.end()
        before.put_items([replace(COFFEE, item_id="put-meanwhile")])
    fit(Workspace.at(folder), now=NOW, until=SPLIT, journal_offset=end)
    with Honeyguide.open(folder, clock=lambda: NOW) as after:
        ids = after.fitted.catalog.ids
        assert ids == (*sorted(ids[:-1]), "put-meanwhile")
        assert "new-coffee" in ids
        assert not {"sku-1", "gone-again"} & set(ids)
        assert [ids[row] for row in after.history("newcomer").rows] == ["new-coffee"]
        assert after.decide("user-1", k=1, candidates=["put-meanwhile"]).item_ids == ("put-meanwhile",)
        for deleted in ("sku-1", "gone-again"):
            with pytest.raises(UnknownItem, match=deleted):
                after.decide("user-1", candidates=[deleted])
        end = after.journal.end()
        assert after.put_items([replace(COFFEE, item_id="put-meanwhile")]) == 0
        assert after.journal.end() == end
