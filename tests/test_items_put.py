"""Items that are put and deleted while a shop serves: no fit, and nothing that is kept by row moves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.checks.policy import equal_states
from honeyguide.cli.app import main
from honeyguide.config import Rules
from honeyguide.data.item import Item
from honeyguide.errors import InvalidInput, UnknownDecision, UnknownItem
from honeyguide.journal.move import copy_journal
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import ItemChange
from honeyguide.types import Decision, Event
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

COFFEE = Item(
    "new-coffee", title="coffee beans dark", category="Shop > coffee beans", brand="Acme", price=7.5
)
SHOES = Item(
    "new-shoes", title="running shoes light", category="Shop > running shoes", brand="Acme", price=70.0
)


def opened(folder: Path, store: str | None = None) -> Honeyguide:
    return Honeyguide.open(folder, store=store, clock=lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def shop(folder: Path) -> Iterator[Honeyguide]:
    with opened(folder) as it:
        yield it


def pages(shop: Honeyguide, count: int, *, user: str = "user", k: int = 5) -> list[Decision]:
    return [shop.decide(f"{user}-{number}", k=k, decision_id=f"{user}:{number}") for number in range(count)]


def test_an_item_is_a_candidate_the_moment_it_is_put(shop: Honeyguide) -> None:
    before = shop.decide("user-1", decision_id="before")
    assert COFFEE.item_id not in before.candidates.item_ids
    assert shop.put_items([COFFEE]) == 1
    page = shop.decide("user-1", decision_id="after")
    assert COFFEE.item_id in page.candidates.item_ids
    assert page.pmf[page.candidates.item_ids.index(COFFEE.item_id)] > 0
    only = shop.decide("user-1", k=1, candidates=[COFFEE.item_id])
    assert only.item_ids == (COFFEE.item_id,)
    assert only.propensities.tolist() == [1.0]
    assert COFFEE.item_id in {item for one in pages(shop, 40) for item in one.item_ids}
    assert COFFEE.item_id in {one.item_id for one in shop.recommend("user-1", k=49)}


def test_what_was_fitted_stays_in_its_rows(shop: Honeyguide) -> None:
    ids, facts = shop.fitted.catalog.ids, shop.fitted.items
    history = shop.history("user-1")
    shop.put_items([COFFEE, SHOES])
    assert shop.fitted.catalog.ids == (*ids, COFFEE.item_id, SHOES.item_id)
    for name in ("vectors", "leaf", "popularity", "rebought", "taken"):
        assert np.array_equal(getattr(shop.fitted.items, name)[: len(ids)], getattr(facts, name))
    assert np.array_equal(shop.history("user-1").rows, history.rows)


def test_features_of_known_items_are_as_before(shop: Honeyguide) -> None:
    candidates = ["sku-1", "sku-9", "sku-17"]
    before = shop.draw("user-1", k=2, candidates=candidates, decision_id="one")
    shop.put_items([COFFEE, SHOES])
    after = shop.draw("user-1", k=2, candidates=candidates, decision_id="one")
    assert np.array_equal(after.candidates.features, before.candidates.features)
    assert np.array_equal(after.pmf, before.pmf)


def test_a_new_item_is_held_to_be_as_what_is_taken_of_its_interest(shop: Honeyguide) -> None:
    facts = shop.fitted.items
    shop.put_items([COFFEE])
    row = shop.fitted.catalog.row(COFFEE.item_id)
    alike = (facts.leaf == shop.fitted.items.leaf[row]) & (facts.taken > 0)
    assert shop.fitted.items.popularity[row] == pytest.approx(facts.popularity[alike].mean())
    assert shop.fitted.items.taken[row] == 0


def test_a_text_the_fit_has_read_gets_the_very_same_vector_and_interest(shop: Honeyguide) -> None:
    catalog, facts = shop.fitted.catalog, shop.fitted.items
    row = catalog.row("sku-9")
    twin = Item(
        "twin", title=catalog.titles[row], category=catalog.categories[row], brand=catalog.brands[row]
    )
    shop.put_items([twin])
    at = shop.fitted.catalog.row("twin")
    assert shop.fitted.items.leaf[at] == facts.leaf[row]
    np.testing.assert_allclose(shop.fitted.items.vectors[at], facts.vectors[row], atol=1e-5)


def test_put_survives_and_replay_gives_the_same_state_to_the_bit(folder: Path) -> None:
    live = opened(folder)
    live.put_items([COFFEE, SHOES])
    for page in pages(live, 12):
        live.feedback(page.decision_id, page.item_ids[0], "purchase")
    live.delete_items([SHOES.item_id])
    live.put_items([replace(COFFEE, price=8.0)])
    last = live.draw("user-1", decision_id="last")
    live.journal.close()  # nothing is saved
    with opened(folder) as again:
        assert equal_states(again.policy.state(), live.policy.state())
        assert again.fitted.catalog.version == live.fitted.catalog.version
        assert equal_states(again.fitted.items.state(), live.fitted.items.state())
        page = again.draw("user-1", decision_id="last")
        assert page.candidates.item_ids == last.candidates.item_ids
        assert np.array_equal(page.candidates.features, last.candidates.features)
        assert np.array_equal(page.pmf, last.pmf)
        assert page.item_ids == last.item_ids
    with opened(folder) as restored:  # from what was saved on
        assert equal_states(restored.policy.state(), live.policy.state())
        assert restored.draw("user-1", decision_id="last").item_ids == last.item_ids


def test_another_process_follows(folder: Path) -> None:
    with opened(folder) as one, opened(folder) as other:
        one.put_items([COFFEE])
        other.catch_up()
        assert other.decide("user-1", k=1, candidates=[COFFEE.item_id]).item_ids == (COFFEE.item_id,)
        other.delete_items([COFFEE.item_id])
        one.catch_up()
        with pytest.raises(UnknownItem, match="'new-coffee' was deleted"):
            one.decide("user-1", candidates=[COFFEE.item_id])


def test_the_same_put_again_changes_nothing(shop: Honeyguide) -> None:
    assert shop.put_items([COFFEE, SHOES, COFFEE]) == 2
    end = shop.journal.end()
    assert shop.put_items([SHOES, COFFEE]) == 0
    assert shop.journal.end() == end


def test_a_put_says_all_of_an_item_anew(shop: Honeyguide) -> None:
    cheap, gone = Rules(max_price=1.0), Rules(in_stock=True)
    with pytest.raises(InvalidInput):
        shop.recommend("user-1", rules=cheap)
    taken = shop.fitted.items.taken[shop.fitted.catalog.row("sku-1")]
    shop.put_items(
        [
            Item("sku-1", title="coffee beans 1", category="Shop > coffee beans", price=0.5, brand="Acme"),
            Item("sku-2", title="coffee beans 2", category="Shop > coffee beans", price=0.5, available=False),
        ]
    )
    assert {one.item_id for one in shop.recommend("user-1", rules=cheap)} == {"sku-1", "sku-2"}
    both = replace(cheap, in_stock=True)
    assert {one.item_id for one in shop.recommend("user-1", rules=both)} == {"sku-1"}
    assert len(shop.recommend("user-1", k=100, rules=gone)) < len(shop.recommend("user-1", k=100))
    assert shop.fitted.items.taken[shop.fitted.catalog.row("sku-1")] == taken
    shop.put_items([Item("sku-1", title="coffee beans 1", attributes='{"roast": "dark"}')])
    dark = Rules(include=("roast=dark",))
    assert [one.item_id for one in shop.recommend("user-1", rules=dark)] == ["sku-1"]


def test_a_deleted_item_is_nowhere(shop: Honeyguide) -> None:
    shop.put_items([COFFEE])
    gone = {COFFEE.item_id, "sku-0", "sku-1"}
    shown = shop.decide("user-1", k=1, candidates=["sku-0"])
    assert shop.delete_items(sorted(gone)) == 3
    assert shop.delete_items(sorted(gone)) == 0
    found = {item for page in pages(shop, 20) for item in page.candidates.item_ids}
    found |= {one.item_id for one in shop.recommend("user-1", k=100)}
    found |= {one.item_id for one in shop.following("user-1", k=100, known=True)}
    found |= {one.item_id for one in shop.search("coffee beans", k=100)}
    found |= {one.item_id for one in shop.similar("sku-2", k=100)}
    found |= {one.item_id for one in shop.bought_together("sku-2", k=100)}
    found |= {one.item_id for one in (*shop.popular(k=100), *shop.new(k=100))}
    assert not gone & found
    for asked in (
        {"candidates": ["sku-1", "sku-2"]},
        {"ranking": ["sku-2", "sku-1"]},
        {"rules": Rules(pins=("1:sku-1",))},
    ):
        with pytest.raises(UnknownItem, match="'sku-1' was deleted"):
            shop.decide("user-1", **asked)
    with pytest.raises(UnknownItem, match="nobody"):
        shop.delete_items(["nobody-has-this"])
    before = shop.policy.state()
    shop.feedback(shown.decision_id, "sku-0", "purchase")
    assert not equal_states(shop.policy.state(), before)
    assert len(shop.similar("sku-0")) == 10  # what may stand for it can still be asked
    shop.put_items([COFFEE])
    assert shop.decide("user-1", k=1, candidates=[COFFEE.item_id]).item_ids == (COFFEE.item_id,)


def test_new_items_are_found_by_words_and_by_meaning(shop: Honeyguide) -> None:
    shop.put_items([COFFEE, SHOES, Item("zebra", title="zebra umbrella")])
    assert shop.search("zebra", k=1)[0].item_id == "zebra"
    assert COFFEE.item_id in {one.item_id for one in shop.search("coffee beans", k=20)}
    assert COFFEE.item_id in {one.item_id for one in shop.similar("sku-0", k=49)}
    near = shop.similar(COFFEE.item_id, k=5)
    assert len(near) == 5
    assert all(one.baskets == 0 for one in near)
    assert shop.new(k=1)[0].item_id in {COFFEE.item_id, SHOES.item_id, "zebra"}
    shop.put_items([Item("sku-5", title="zebra umbrella", category="Shop > coffee beans")])
    assert {one.item_id for one in shop.search("zebra", k=2)} == {"zebra", "sku-5"}


def test_what_a_user_takes_of_new_items_is_known_of_them(shop: Honeyguide) -> None:
    shop.put_items([COFFEE, SHOES])
    page = shop.decide("nobody-yet", k=1, candidates=[COFFEE.item_id])
    shop.feedback(page.decision_id, COFFEE.item_id, "purchase")
    history = shop.history("nobody-yet")
    assert [shop.fitted.catalog.ids[row] for row in history.rows] == [COFFEE.item_id]
    best = max(shop.interests("nobody-yet", top=6), key=lambda one: one.share)
    assert best.evidence == (COFFEE.item_id,)
    again = shop.decide("nobody-yet", k=5)
    assert "taken once" in " ".join(shop.decide("nobody-yet", k=1, candidates=[COFFEE.item_id]).why)
    assert len(again.item_ids) == 5
    assert len(shop.following("nobody-yet", k=3)) == 3


def test_events_on_items_count_by_what_was_there_when_they_were_written(folder: Path) -> None:
    early = Event("early", NOW, "someone", "purchase", item_id=COFFEE.item_id)
    late = replace(early, event_id="late", item_id=SHOES.item_id)
    with opened(folder) as live:
        live.record([early])
        live.put_items([COFFEE, SHOES])
        live.record([late])
        rows = live.history("someone").rows
        assert [live.fitted.catalog.ids[row] for row in rows] == [SHOES.item_id]
    with opened(folder) as again:
        assert np.array_equal(again.history("someone").rows, rows)


def test_without_a_language_model_the_category_says_which_interest_it_is(folder: Path) -> None:
    for part in ("release", "texts"):  # as fits were before there were either
        shutil.rmtree(folder / "models" / part)
    with opened(folder) as shop:
        catalog, leaf = shop.fitted.catalog, shop.fitted.items.leaf
        shop.put_items([COFFEE, Item("nothing-known")])
        row = shop.fitted.catalog.row(COFFEE.item_id)
        alike = [at for at, path in enumerate(catalog.categories) if path == COFFEE.category]
        assert shop.fitted.items.leaf[row] == np.bincount(leaf[alike]).argmax()
        assert not shop.fitted.items.vectors[row].any()
        page = shop.decide("user-1", k=2, candidates=[COFFEE.item_id, "nothing-known"])
        assert set(page.item_ids) == {COFFEE.item_id, "nothing-known"}


def test_a_text_that_another_model_has_read_is_read_anew(shop: Honeyguide) -> None:
    zeros = np.zeros(3, dtype=np.float32)
    shop.record([ItemChange("by-another", NOW, COFFEE.item_id, COFFEE, "another", zeros)])
    shop.put_items([replace(COFFEE, item_id="twin")])
    vectors = shop.fitted.items.vectors
    ours, twin = (vectors[shop.fitted.catalog.row(name)] for name in (COFFEE.item_id, "twin"))
    assert ours.any()
    np.testing.assert_allclose(ours, twin, atol=1e-6)


def test_the_stock_moves_with_the_journal(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as shop:
        shop.put_items([COFFEE, SHOES])
        shop.delete_items(["sku-1", SHOES.item_id])
        other = tmp_path / "moved.db"
        target = open_journal(other)
        assert copy_journal(shop.journal, target) == 4
        assert copy_journal(shop.journal, target) == 0
        target.close()
        with opened(folder, str(other)) as moved:
            assert moved.fitted.catalog.version == shop.fitted.catalog.version
            assert equal_states(moved.fitted.items.state(), shop.fitted.items.state())
            with pytest.raises(UnknownItem, match="deleted"):
                moved.decide("user-1", candidates=["sku-1"])


def test_what_is_dropped_for_its_age_takes_no_item_along(folder: Path) -> None:
    with opened(folder) as shop:
        shop.put_items([COFFEE, SHOES])
        shop.delete_items([SHOES.item_id])
        page = shop.decide("user-1", k=1, candidates=[COFFEE.item_id])
        later = NOW + timedelta(days=99)
        assert shop.forget(timedelta(days=60), now=later).decisions == 1
        with pytest.raises(UnknownDecision):
            shop.feedback(page.decision_id, COFFEE.item_id, "click", now=later)
        assert shop.decide("user-1", k=1, candidates=[COFFEE.item_id]).item_ids == (COFFEE.item_id,)
    with opened(folder) as again:
        assert again.decide("user-1", k=1, candidates=[COFFEE.item_id]).item_ids == (COFFEE.item_id,)
        with pytest.raises(UnknownItem, match="'new-shoes' was deleted"):
            again.decide("user-1", candidates=[SHOES.item_id])


def test_the_command_line_puts_what_a_file_holds_and_deletes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new.csv"
    file.write_text(
        "item_id,title,category,brand,price,available,created_at,colour\n"
        "new-coffee,coffee beans dark,Shop > coffee beans,Acme,7.5,true,2026-01-01T00:00:00Z,brown\n"
        "bad,price below nothing,Shop > coffee beans,Acme,-1,true,,\n"
    )
    for changed in (1, 0):
        with pytest.raises(SystemExit, match="0"):
            main(["items", "put", str(folder), str(file), "--json"])
        assert json.loads(capsys.readouterr().out) == {"items": 1, "changed": changed, "aside": 1}
    with opened(folder) as shop:
        assert shop.decide("user-1", k=1, candidates=["new-coffee"]).item_ids == ("new-coffee",)
        assert shop.fitted.catalog.prices[-1] == 7.5
    with pytest.raises(SystemExit, match="0"):
        main(["items", "delete", str(folder), "new-coffee", "sku-1", "--json"])
    assert json.loads(capsys.readouterr().out) == {"deleted": 2}
    with opened(folder) as shop, pytest.raises(UnknownItem, match="'new-coffee' was deleted"):
        shop.decide("user-1", candidates=["new-coffee"])


def test_erasure_leaves_what_was_put(shop: Honeyguide) -> None:
    shop.put_items([COFFEE])
    page = shop.decide("passer-by", k=1, candidates=[COFFEE.item_id])
    shop.feedback(page.decision_id, COFFEE.item_id, "purchase")
    shop.erase("passer-by")
    assert len(shop.history("passer-by").rows) == 0
    assert shop.decide("user-1", k=1, candidates=[COFFEE.item_id]).item_ids == (COFFEE.item_id,)


@pytest.mark.slow
def test_of_new_items_the_one_that_is_liked_is_shown_more_and_more(folder: Path) -> None:
    items = [
        Item(
            f"new-{number}",
            title=f"coffee beans fresh {number}",
            category="Shop > coffee beans",
            brand="Acme",
        )
        for number in range(12)
    ]
    good, shown = "new-3", {item.item_id: [0, 0] for item in items}
    rng = np.random.default_rng(0)
    with opened(folder) as shop:
        shop.put_items(items)
        for number in range(240):
            now = NOW + timedelta(minutes=number)
            page = shop.decide(f"visitor-{number % 60}", k=5, now=now, decision_id=f"page-{number}")
            for item_id in page.item_ids:
                if item_id in shown:
                    shown[item_id][number >= 120] += 1
                if item_id == good or (item_id not in shown and rng.random() < 0.1):
                    shop.feedback(page.decision_id, item_id, "purchase", now=now + timedelta(seconds=5))
    early, late = shown.pop(good)
    others = np.array(list(shown.values()))
    assert (others[:, 0] > 0).all()  # each of them got its chance
    assert late > 1.5 * early
    assert late > 2 * others[:, 1].max()
