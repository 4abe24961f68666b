"""Rules hold whatever is asked: what is forbidden is never shown, limits are kept, and propensities stay exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide import Honeyguide
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME, Rules, parse_settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import ITEMS
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput, InvalidSettings, UnknownItem
from honeyguide.evaluate.ope import importance_weights
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.interests.users import History
from honeyguide.retrieve.diversity import alike
from honeyguide.shop.rules import RuleBook, Ruling
from honeyguide.shop.workspace import Workspace, settings_toml
from honeyguide.types import Floats, Rows
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

IDS = ["a", "b", "c", "d", "e", "f"]
BRANDS = ["Acme", "Acme", "Acme", "Bolt", "", "Bolt"]
CATEGORIES = ["Home > Tea", "Home > Tea", "Home > Cups", "Toys", "", "Toys > Tea"]
PRICES = [1.0, 2.0, 3.0, 4.0, None, 6.0]
CATALOG = Catalog.of(IDS, titles=list("uvwxyz"), categories=CATEGORIES, brands=BRANDS, prices=PRICES)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue's file: b is sold out, of e nothing is known, and a, d and f have a colour."""
    path = tmp_path_factory.mktemp("rules") / "items.parquet"
    facts = {"available": [True, False, True, True, None, True],
             "attributes": ['{"colour": "Red"}', None, None, '{"colour": "blue", "size": 4}', None,
                            '{"colour": "red"}'],
             "created_at": ["2026-01-02 00:00:00+00", None, None, None, None, None]}  # fmt: skip
    columns = {"item_id": IDS, "brand": BRANDS, "category": CATEGORIES, "price": PRICES, **facts}
    with duckdb.connect() as db:
        db.execute("CREATE TABLE items (" + ", ".join(f"{name} {kind}" for name, kind in ITEMS.items()) + ")")
        for row in zip(*columns.values(), strict=True):
            db.execute(f"INSERT INTO items ({', '.join(columns)}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        db.execute(f"COPY items TO '{path}' (FORMAT parquet)")
    return path


def ruling(items: Path, asked: Rules | None = None, own: Rules | None = None) -> Ruling:
    return RuleBook(CATALOG, items, own or Rules()).ruling(asked)


def shown(items: Path, asked: Rules, own: Rules | None = None) -> str:
    return "".join(np.array(IDS)[ruling(items, asked, own).allowed])


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (Rules(), "abcdef"),
        (Rules(include=("brand=Acme",)), "abc"),
        (Rules(include=("brand=acme", "brand=bolt")), "abcdf"),  # any of one attribute
        (Rules(include=("brand=acme", "category=Tea")), "ab"),  # each of several
        (Rules(include=("category=home",)), "abc"),  # what is below it too
        (Rules(include=("category=home > tea",)), "ab"),
        (Rules(include=("category=Tea",)), "abf"),  # one level by its name
        (Rules(include=("colour=red",)), "af"),
        (Rules(include=("size=4",)), "d"),
        (Rules(exclude=("colour=red", "brand=Bolt")), "bce"),
        (Rules(exclude_ids=("a", "f")), "bcde"),
        (Rules(min_price=2.0), "bcdf"),  # e has no price: nobody knows that it is dear enough
        (Rules(max_price=2.0), "ab"),
        (Rules(min_price=2.0, max_price=4.0), "bcd"),
        (Rules(in_stock=True), "acdef"),
    ],
)
def test_what_is_left_is_worked_out_by_hand(items: Path, rules: Rules, left: str) -> None:
    assert shown(items, rules) == left
    assert shown(items, Rules(), own=rules) == left


SOME_RULES = st.builds(
    Rules,
    include=st.sampled_from([(), ("brand=acme",), ("category=tea",), ("brand=acme", "brand=bolt")]),
    exclude=st.sampled_from([(), ("category=cups",), ("colour=red",)]),
    exclude_ids=st.sampled_from([(), ("a",), ("b", "f")]),
    max_price=st.sampled_from([0.0, 2.0, 4.0]),
    in_stock=st.booleans(),
    most=st.sampled_from([(), ("brand=1",), ("brand=2", "category=1")]),
)


@given(own=SOME_RULES, asked=SOME_RULES)
@settings(max_examples=60, deadline=None)
def test_a_request_never_widens(items: Path, own: Rules, asked: Rules) -> None:
    book = RuleBook(CATALOG, items, own)
    try:
        alone, both = book.ruling(), book.ruling(asked)
    except InvalidInput:  # the two together leave nothing
        return
    assert not (both.allowed & ~alone.allowed).any()
    assert both.most[: len(alone.most)] == alone.most  # of two limits the lower one holds: both stand


def test_when_an_item_came_is_what_the_catalogue_says(items: Path) -> None:
    created = RuleBook(CATALOG, items, Rules()).shelf.created_us
    assert created.tolist() == [to_us(datetime(2026, 1, 2, tzinfo=UTC)), -1, -1, -1, -1, -1]


def test_diversity_is_the_higher_of_both_and_boosts_multiply(items: Path) -> None:
    own = Rules(diversity=0.4, boosts=("brand=acme:2",))
    both = ruling(items, Rules(diversity=0.1, boosts=("item=a:3", "category=toys:0.5")), own)
    assert both.diversity == 0.4
    assert both.boost.tolist() == [6, 2, 2, 0.5, 1, 0.5]
    scores = both.boosted(np.array([1.0, -1.0]), np.array([0, 1]))
    assert scores.tolist() == [6.0, -0.5]  # up, also from below 0


def test_the_shops_pins_give_way_to_the_requests(items: Path) -> None:
    own = Rules(pins=("1:a", "2:b", "3:gone"))
    assert ruling(items, None, own).pins == {0: 0, 1: 1}
    assert ruling(items, Rules(pins=("1:c",)), own).pins == {0: 2, 1: 1}
    assert ruling(items, Rules(pins=("3:a",), exclude_ids=("b",)), own).pins == {2: 0}
    with pytest.raises(InvalidInput, match="pinned and ruled out"):
        ruling(items, Rules(pins=("1:b",)), Rules(in_stock=True))


@pytest.mark.parametrize(
    ("rules", "error", "said"),
    [
        (Rules(include=("color=red",)), InvalidInput, "Known: category, brand, colour, size"),
        (Rules(include=("brand=Acne",)), InvalidInput, "the nearest is 'acme'"),
        (Rules(exclude=("brand=Acne",)), InvalidInput, "the nearest is 'acme'"),
        (Rules(most=("shape=1",)), InvalidInput, "no item has an attribute 'shape'"),
        (Rules(exclude_ids=("z",)), UnknownItem, "unknown item 'z'"),
        (Rules(pins=("1:z",)), UnknownItem, "unknown item 'z'"),
        (Rules(boosts=("item=z:2",)), UnknownItem, "unknown item 'z'"),
        (Rules(min_price=7.0), InvalidInput, "leave no item"),
        (Rules(include=("brand=bolt", "category=cups")), InvalidInput, "leave no item"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    items: Path, rules: Rules, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ruling(items, rules)


def test_what_has_left_the_catalogue_does_not_stop_the_shop(items: Path) -> None:
    own = Rules(exclude=("brand=Gone",), exclude_ids=("z",), boosts=("item=z:2",), pins=("1:z",))
    found = ruling(items, None, own)
    assert found.allowed.all()
    assert found.pins == {}
    assert found.boost.tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"min_price": 5.0, "max_price": 2.0}, "turn them round"),
        ({"max_price": -1.0}, "max_price must be at least 0"),
        ({"include": ["brand"]}, "write it like brand=Acme"),
        ({"most": ["brand=0"]}, "whole number"),
        ({"most": ["brand=many"]}, "whole number"),
        ({"boosts": ["brand=Acme"]}, "a factor above 0"),
        ({"boosts": ["brand=Acme:-1"]}, "a factor above 0"),
        ({"boosts": ["brand=Acme:nan"]}, "a factor above 0"),
        ({"pins": ["sku-1"]}, "like 1:sku-1"),
        ({"pins": ["0:sku-1"]}, "whole number"),
        ({"pins": ["1:a", "1:b"]}, "each place"),
        ({"pins": ["1:a", "2:a"]}, "each item once"),
        ({"diversity": 1.5}, "diversity must lie"),
        ({"diversify": "best"}, "dpp, mmr"),
        ({"excluded": ["a"]}, "unknown key"),
    ],
)
def test_rules_that_are_none_are_refused_in_the_settings(values: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        parse_settings({"rules": values}, "honeyguide.toml")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("ruled"))


@pytest.fixture(scope="module")
def opened(shop: Path) -> Honeyguide:
    return Honeyguide.open(shop, clock=lambda: NOW)


def shelf(item_id: str) -> int:
    return int(item_id.removeprefix("sku-")) // 8


def test_a_recommendation_is_what_is_expected_to_earn_most(opened: Honeyguide) -> None:
    found = opened.recommend("user-1", k=8)
    assert found == opened.recommend("user-1", k=8)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len({one.item_id for one in found}) == 8
    assert found[0].item_id in set(np.array(opened.fitted.catalog.ids)[opened.history("user-1").rows])


def test_another_scorer_ranks_by_something_else(opened: Honeyguide) -> None:
    class LastRow:
        def scores(self, history: History, rows: Rows, now_us: int) -> Floats:
            return rows.astype(np.float64)

    found = opened.recommend("user-1", k=3, scorer=LastRow())
    assert [one.item_id for one in found] == list(opened.fitted.catalog.ids[:-4:-1])


def test_recommending_leaves_no_trace(opened: Honeyguide) -> None:
    before = opened.journal.end()
    opened.recommend("user-1", k=3, rules=Rules(diversity=0.5))
    assert opened.journal.end() == before


def test_recommendations_keep_to_the_rules(opened: Honeyguide) -> None:
    rules = Rules(
        exclude=("category=coffee beans",), exclude_ids=("sku-9",), most=("category=2",), pins=("3:sku-47",)
    )
    found = opened.recommend("user-1", k=10, rules=rules)
    shelves = [shelf(one.item_id) for one in found]
    assert found[2].item_id == "sku-47"
    assert (found[2].pinned, found[2].why) == (True, "put here by the shop")
    assert sum(one.pinned for one in found) == 1
    assert 0 not in shelves
    assert "sku-9" not in {one.item_id for one in found}
    assert sorted(shelves) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    # the limits leave no more than two of five shelves
    assert len(opened.recommend("user-1", k=20, rules=rules)) == 10


def test_a_boost_lifts_and_diversity_spreads(opened: Honeyguide) -> None:
    plain = [one.item_id for one in opened.recommend("user-1", k=6)]
    last = opened.recommend("user-1", k=48)[-1].item_id
    assert opened.recommend("user-1", k=1, rules=Rules(boosts=(f"item={last}:1000",)))[0].item_id in (
        last,
        plain[0],
    )
    vectors, row = opened.fitted.items.vectors, opened.fitted.catalog.row
    for method in ("dpp", "mmr"):
        rules = Rules(diversity=0.9, diversify=method)
        spread = [one.item_id for one in opened.recommend("user-1", k=6, rules=rules)]
        assert alike(vectors[list(map(row, spread))]) < alike(vectors[list(map(row, plain))])


def test_decisions_keep_to_the_rules_and_their_propensities_are_the_policys(opened: Honeyguide) -> None:
    rules = Rules(exclude=("category=coffee beans",), most=("category=2",))
    decision = opened.decide("user-1", k=8, rules=rules)
    shelves = [shelf(item) for item in decision.item_ids]
    assert 0 not in shelves
    assert max(shelves.count(one) for one in shelves) <= 2
    # there were no more candidates of a category than a page may hold, so the first slot is the policy's own answer
    among = [shelf(item) for item in decision.candidates.item_ids]
    assert max(among.count(one) for one in among) <= 2
    assert decision.pmf.sum() == pytest.approx(1.0)
    assert decision.propensities[0] == decision.pmf[decision.chosen[0]]
    assert opened.journal.decision(decision.decision_id).item_ids == decision.item_ids


@pytest.mark.parametrize("rules", [Rules(diversity=0.1), Rules(boosts=("item=sku-1:2",))])
def test_what_would_change_the_draw_is_refused(opened: Honeyguide, rules: Rules) -> None:
    with pytest.raises(InvalidInput, match="ask recommend"):
        opened.decide("user-1", rules=rules)


def test_a_decision_has_its_pins_in_their_slots(opened: Honeyguide) -> None:
    rules = Rules(pins=("2:sku-47", "4:sku-1", "9:sku-25"), most=("category=1",))
    decision = opened.decide("user-1", k=5, rules=rules)
    assert (decision.item_ids[1], decision.item_ids[3]) == ("sku-47", "sku-1")
    assert decision.pinned.tolist() == [False, True, False, True, False]
    assert decision.propensities[decision.pinned].tolist() == [1.0, 1.0]
    assert [why == "put here by the shop" for why in decision.why] == decision.pinned.tolist()
    among = [shelf(item) for item in decision.candidates.item_ids]
    assert sorted(among) == sorted(set(among))  # a pinned item counts towards its category's limit
    stored = opened.journal.decision(decision.decision_id)
    assert (stored.pins, stored.explored.tolist()) == (decision.pins, decision.explored.tolist())
    shown = opened.decide("user-1", k=5, rules=Rules(pins=("1:sku-1",)), exclude=["sku-1"])
    assert "sku-1" not in shown.item_ids


def test_candidates_say_their_interests(opened: Honeyguide) -> None:
    decision = opened.decide("user-1", k=3)
    rows = opened.fitted.catalog.rows(list(decision.candidates.item_ids))
    stored = opened.journal.decision(decision.decision_id).candidates.groups
    assert stored is not None
    assert stored.tolist() == opened.fitted.items.leaf[rows].tolist()


def test_a_stranger_gets_what_is_popular_or_new(opened: Honeyguide) -> None:
    popular = opened.popular(k=5)
    assert [one.score for one in popular] == sorted((one.score for one in popular), reverse=True)
    assert {one.why for one in popular} == {"popular lately"}
    tea = opened.popular(k=30, rules=Rules(include=("category=garden tools",)))
    assert {shelf(one.item_id) for one in tea} == {3}
    assert len(tea) == 4  # the others of the shelf were never taken
    new = opened.new(k=3)
    assert new[0].score >= new[1].score >= new[2].score
    assert len(opened.recommend("nobody", k=5)) == 5


def test_k_below_one_is_refused(opened: Honeyguide) -> None:
    for ask in (opened.popular, opened.new):
        with pytest.raises(InvalidInput, match="k must"):
            ask(k=0)
    with pytest.raises(InvalidInput, match="k must"):
        opened.recommend("user-1", k=0)


def test_the_shops_own_rules_hold_for_every_page(shop: Path, tmp_path: Path) -> None:
    mine = Workspace.at(copy_of(shop, tmp_path))
    rules = Rules(exclude=("category=dog food",), in_stock=True, diversity=0.3, pins=("1:sku-20",))
    settings = replace(mine.settings, rules=rules)
    write_atomically(mine.root / FILE_NAME, settings_toml(settings).encode())
    with Honeyguide.open(mine.root, clock=lambda: NOW) as opened:
        assert opened.settings.rules == rules
        page = opened.decide("user-1", k=10).item_ids
        assert page[0] == "sku-20"
        assert 1 not in {shelf(item) for item in page}
        assert 1 not in {shelf(one.item_id) for one in opened.similar("sku-8", k=48)}
        assert opened.bought_together("sku-8") == ()  # its company is all dog food
        here = Rules(include=("category=garden tools",))
        assert {shelf(one.item_id) for one in opened.similar("sku-8", k=48, rules=here)} == {3}
        found = opened.recommend("user-1", k=30)
        assert found[0].item_id == "sku-20"
        assert 1 not in {shelf(one.item_id) for one in found}


def test_a_decision_for_more_than_the_rules_leave_is_refused(opened: Honeyguide) -> None:
    rules = Rules(most=("category=1",))
    with pytest.raises(InvalidInput, match=r"k must be in 1\.\.6"):
        opened.decide("user-1", k=7, rules=rules)
    assert len(opened.decide("user-1", rules=rules).item_ids) == 6


def test_a_log_with_rules_is_evaluated_like_any_other(opened: Honeyguide) -> None:
    """The policy that was asked for a page is its own target: each slot is as likely as it was logged."""

    rules = Rules(most=("category=2",), exclude=("category=coffee beans",))
    ruled = opened.decide("user-1", k=4, rules=rules)
    again = decide(
        Uniform(), ruled.candidates, k=4, request=Request("again", NOW), rng=np.random.default_rng(0)
    )
    assert len(ruled.candidates) == 10
    assert again.propensities == pytest.approx([1 / 10, 1 / 9, 1 / 8, 1 / 7])
    assert importance_weights(again, Uniform()) == pytest.approx(np.ones(4))
