"""What is taken together: counts worked out by hand, chance kept apart, texts alone for what is new."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide import Honeyguide, artifacts
from honeyguide.cli.app import main
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable, to_us
from honeyguide.errors import InvalidInput, NotReady, UnknownItem
from honeyguide.interests import related as counting
from honeyguide.interests.related import EVIDENCE, Pairs, Related, basket_weight, baskets_of, sorts_of
from honeyguide.shop.releases import RELATED
from honeyguide.types import EVENT_KINDS, EventKind
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

DAY = datetime(2026, 1, 1, tzinfo=UTC)
SALT, PEPPER, MILL, SOAP, NEW = range(5)


def table(baskets: list[list[int]], kind: EventKind = "purchase") -> EventTable:
    """Basket i is what user i took on day i."""
    item = np.array([one for basket in baskets for one in basket], dtype=np.int32)
    user = np.repeat(np.arange(len(baskets), dtype=np.int32), [len(basket) for basket in baskets])
    return EventTable(
        users=tuple(f"u{number}" for number in range(len(baskets))),
        user=user,
        item=item,
        time_us=to_us(DAY) + user.astype(np.int64) * 86_400_000_000,
        kind=np.full(len(item), EVENT_KINDS.index(kind), dtype=np.int8),
        value=np.full(len(item), np.nan, dtype=np.float32),
    )


BASKETS = [[SALT, PEPPER]] * 6 + [[SALT, SOAP]] * 3 + [[SOAP]] * 9 + [[PEPPER, MILL]] + [[MILL]]
SORTS = np.arange(5)


def related(baskets: list[list[int]] = BASKETS, n: int = 5) -> Related:
    return Related.of(table(baskets), np.arange(n), half_life_days=7.0)


def test_a_pair_is_told_by_support_confidence_and_lift() -> None:
    rows, pairs = related().neighbours(SALT)
    assert rows.tolist() == [PEPPER]
    # 20 baskets, salt in 9, pepper in 7, both in 6
    assert (pairs.both.tolist(), pairs.first.tolist(), pairs.second.tolist(), pairs.total) == (
        [6],
        [9],
        [7],
        20,
    )
    assert pairs.support == pytest.approx([0.3])
    assert pairs.confidence == pytest.approx([6 / 9])
    assert pairs.lift == pytest.approx([(6 / 9) / (7 / 20)])


def test_what_avoids_an_item_and_what_met_it_once_are_no_neighbours() -> None:
    found = related()
    assert SOAP not in found.neighbours(SALT)[0]  # 3 baskets together where chance alone gives 5.4
    assert found.neighbours(MILL)[0].tolist() == []  # seen once


def test_evidence_is_dunnings() -> None:
    # the table 10, 5, 5, 20 by hand: 2 sum O ln(O N / (row column))
    pairs = Pairs(np.array([10]), np.array([15]), np.array([15]), 40)
    cells, expected = (10, 5, 5, 20), (15 * 15 / 40, 15 * 25 / 40, 25 * 15 / 40, 25 * 25 / 40)
    by_hand = 2 * sum(o * np.log(o / e) for o, e in zip(cells, expected, strict=True))
    assert pairs.surprise == pytest.approx([by_hand])
    avoiding = Pairs(np.array([1]), np.array([20]), np.array([20]), 40)
    assert avoiding.surprise[0] < 0


def test_one_basket_of_two_says_less_than_many_that_are_less_sure() -> None:
    once = Pairs(np.array([1]), np.array([1]), np.array([1]), 1000)
    often = Pairs(np.array([40]), np.array([80]), np.array([60]), 1000)
    assert once.lift[0] > often.lift[0]  # the plain figure is fooled
    assert once.surprise[0] < often.surprise[0]


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_counts_in_parts_are_counts_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    baskets = [rng.choice(12, rng.integers(1, 6), replace=False).tolist() for _ in range(40)]
    whole = related(baskets, 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_CELLS", 1)
        parts = related(baskets, 12)
    dense = baskets_of(table(baskets), 12).toarray()
    both = np.rint(dense.T @ dense)
    for name, array in whole.state().items():
        assert np.array_equal(array, parts.state()[name])
    for row in range(12):
        rows, pairs = whole.neighbours(row)
        assert np.array_equal(pairs.both, both[row, rows])
        assert (pairs.lift > 1).all()
        assert row not in rows


def test_a_basket_is_a_users_day_and_counts_an_item_once() -> None:
    found = baskets_of(table([[SALT, SALT, PEPPER], [SALT]]), 5)
    assert found.toarray().tolist() == [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]


def test_where_nobody_buys_what_is_looked_at_counts() -> None:
    assert related([[0, 1]] * 3 + [[2]] * 3).baskets == 6
    seen = Related.of(table([[0, 1]] * 3 + [[2]] * 3, "view"), np.arange(3), half_life_days=7.0)
    assert seen.neighbours(0)[0].tolist() == [1]
    shown = Related.of(table([[0, 1]] * 3, "impression"), np.arange(3), half_life_days=7.0)
    assert (shown.baskets, shown.popular.tolist()) == (0, [0.0, 0.0, 0.0])


def test_a_basket_of_a_whole_shop_counts_its_first_items_only() -> None:
    assert baskets_of(table([list(range(150))]), 150).sum() == 100


def test_what_is_popular_lately_fades_by_the_time_of_events() -> None:
    found = Related.of(table([[0], [], [], [], [], [], [], [1]]), np.arange(3), half_life_days=7.0)
    assert found.popular == pytest.approx([0.5, 1.0, 0.0])
    assert found.first_us.tolist() == [to_us(DAY), to_us(DAY + timedelta(days=7)), -1]


def test_it_is_what_was_stored() -> None:
    found = related()
    again = Related.from_state(found.state())
    assert all(np.array_equal(array, again.state()[name]) for name, array in found.state().items())


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(InvalidInput, match="each pair"):
        Related.from_state({**related().state(), "count": np.array([1])})
    with pytest.raises(InvalidInput, match="each item"):
        Related.from_state({**related().state(), "popular": np.array([1.0])})


def test_items_of_one_category_or_of_one_text_are_of_one_sort() -> None:
    catalog = Catalog.of("abcd", titles=["x", "y", "z", "z"], categories=["Shop > Tea", "Shop > Tea", "", ""])
    sorts = sorts_of(catalog)
    assert sorts[0] == sorts[1] != sorts[2] == sorts[3]


def test_a_new_item_is_all_text() -> None:
    weights = [basket_weight(taken) for taken in range(100)]
    assert weights[0] == 0
    assert weights == sorted(set(weights))
    assert weights[-1] < 0.5


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("related"))


def test_an_open_shop_says_what_is_like_an_item(shop: Path) -> None:
    with Honeyguide.open(shop, clock=lambda: NOW) as opened:
        found = opened.similar("sku-0", k=5)
        assert len(found) == len({one.item_id for one in found} - {"sku-0"}) == 5
        assert (np.diff([one.score for one in found]) < 1e-3).all()  # the best first, but for a hair
        assert found[0].item_id in {"sku-1", "sku-2", "sku-3"}  # same shelf, and in the same baskets
        assert len(opened.similar("sku-0", k=1000)) == 47  # all the others, and no more
        # sku-7 was never taken: nothing but its text speaks for it
        assert all(one.score == pytest.approx(max(one.text, 0)) for one in opened.similar("sku-7"))
        assert opened.bought_together("sku-7") == ()
        with pytest.raises(InvalidInput, match="k must"):
            opened.similar("sku-0", k=0)
        with pytest.raises(UnknownItem, match="nearest known id is 'sku-8'"):
            opened.similar("sku-48")


def test_an_open_shop_says_what_goes_along(shop: Path) -> None:
    with Honeyguide.open(shop, clock=lambda: NOW) as opened:
        found = opened.bought_together("sku-0")
        assert {one.item_id for one in found} <= {"sku-1", "sku-2", "sku-3"}
        for one in found:
            assert one.baskets >= 2
            assert one.lift > 1
            assert one.score >= EVIDENCE
            assert one.support <= one.confidence
            assert f"on {one.baskets} days" in one.why


def test_a_shop_fitted_before_says_what_to_run(shop: Path, tmp_path: Path) -> None:
    old = copy_of(shop, tmp_path)
    shutil.rmtree(old / "models" / "release")
    (old / "models" / RELATED / artifacts.POINTER).unlink()
    with Honeyguide.open(old, clock=lambda: NOW) as opened, pytest.raises(NotReady, match="honeyguide fit"):
        opened.similar("sku-0")


@pytest.mark.parametrize("more", [[], ["--together"]])
def test_the_command_prints_what_the_shop_says(
    shop: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    with Honeyguide.open(shop, clock=lambda: NOW) as opened:
        expected = opened.bought_together("sku-0", k=3) if more else opened.similar("sku-0", k=3)
    with pytest.raises(SystemExit, match="0"):
        main(["similar", str(shop), "sku-0", "-k", "3", "--json", *more])
    said = json.loads(capsys.readouterr().out)
    assert [one["item_id"] for one in said["items"]] == [one.item_id for one in expected]
    with pytest.raises(SystemExit, match="0"):
        main(["similar", str(shop), "sku-0", "-k", "3", *more])
    printed = capsys.readouterr().out
    assert all(one.item_id in printed for one in expected)
