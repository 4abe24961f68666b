"""A shop's tables become tasks: nothing leaks, nothing is invented, and what is lacking is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.data.labels.texts import same_text
from honeyguide.errors import InvalidInput
from honeyguide.plm.teach.examples import Tables, TaskExamples, shop_examples
from honeyguide.plm.teach.items import brand_tags, text_without_category
from honeyguide.plm.teach.searches import Answer, answers, leads
from tests.dirty_log import START, Row, event, item, shop
from tests.taught_shop import ALL, HOUR, items_of, rating, reviews_of, searches_of, taught_shop


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_shop(tmp_path_factory.mktemp("shop"))


def examples_of(folder: Path, *tasks: str, until: datetime | None = None) -> tuple[TaskExamples[Any], ...]:
    return shop_examples(tasks, events=folder / "events.parquet", items=folder / "items.parquet", until=until)


def tables(folder: Path) -> Tables:
    return Tables(folder / "events.parquet", folder / "items.parquet", None, 0)


def asked(part: Any) -> list[str]:
    """The texts that must be on one side only: of pairs those that ask."""
    rows = getattr(part, "first", getattr(part, "query", range(len(part.texts))))
    return [part.texts[int(row)] for row in dict.fromkeys(rows)]


@pytest.mark.parametrize("task", ALL)
def test_the_same_text_is_never_on_two_sides_and_every_part_has_some(folder: Path, task: str) -> None:
    (found,) = examples_of(folder, task)
    sides = [{same_text(text) for text in asked(part)} for part in found.parts]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert len(sides[0]) > 5 * len(sides[2])
    again, other = (
        examples_of(folder, task)[0],
        shop_examples([task], events=folder / "events.parquet", items=folder / "items.parquet", seed=1)[0],
    )
    assert again.version == found.version != other.version


def test_texts_that_differ_only_in_case_and_marks_are_one_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = reviews_of(60, rng)
    shouted = [
        row | {"event_id": row["event_id"] + "x", "text": row["text"].upper() + "!!"} for row in rows[:40]
    ]
    contradicting = rating("z", 0, rows[50]["text"].title(), 5.0 if rows[50]["value"] < 3 else 1.0)
    (once,) = examples_of(shop(tmp_path / "a", rows[:50] + rows[51:]), "sentiment")
    (twice,) = examples_of(shop(tmp_path / "b", [*rows, *shouted, contradicting]), "sentiment")
    assert sorted(map(same_text, sum((part.texts for part in twice.parts), ()))) == sorted(
        map(same_text, sum((part.texts for part in once.parts), ()))
    )
    assert "2 reviews are left out" in " ".join(twice.told)


@pytest.mark.parametrize("task", ALL)
def test_what_comes_later_changes_nothing(tmp_path: Path, task: str) -> None:
    """With `until`, a shop gives what it would have given before all that came from then on."""
    rng = np.random.default_rng(2)
    items = items_of(60, rng)
    early = [*reviews_of(60, rng), *searches_of(60, items, rng)]
    until = START + timedelta(seconds=60 * HOUR)
    late = [
        rating("y", 60 * HOUR, early[3]["text"], 5.0 if early[3]["value"] < 3 else 1.0),
        rating("z", 61 * HOUR, "later words", 10.0),  # would make another scale of all stars
        event("y2", 60 * HOUR, kind="search", item_id=None, query="a later one"),
        event("y3", 60 * HOUR + 1, kind="cart", item_id="i001"),
        event("y4", 60 * HOUR + 2, kind="click", item_id="i001"),
    ]
    new = item(
        "i900", title="brand new wine", category="Shop > New", brand="Newest", created_at=until.isoformat()
    )
    before = examples_of(shop(tmp_path / "a", early, items), task)[0]
    after = shop(tmp_path / "b", [*early, *late], [*items, new])
    assert examples_of(after, task, until=until)[0].version == before.version
    if task in ("sentiment", "stars", "search"):
        assert examples_of(after, task)[0].version != before.version


def test_a_path_is_taken_out_of_the_text_and_its_words_are_not() -> None:
    told = text_without_category(
        "Red wine", "Shop > Drinks > Wine", "Acme", "shop / drinks / wine. A dry Wine from the shop"
    )
    assert told == "Red wine, Acme, A dry Wine from the shop"
    assert text_without_category("Wine", "Shop > Drinks > Wine", "", "Shop > Drinks > Wine") == ""
    assert text_without_category("Dresses", "Dresses", "", "") == ""
    assert text_without_category("Dresses for summer", "Dresses", "", "") == "Dresses for summer"


_STEPS = st.lists(st.sampled_from(["Tea", "Red Wine", "A+", "soap"]), min_size=2, max_size=4)
_AROUND = st.lists(st.sampled_from(["tea", "wine", "red", " ", ">", " > ", "/", "good"]), max_size=6).map(
    "".join
)


@given(steps=_STEPS, around=st.tuples(_AROUND, _AROUND, _AROUND), shouted=st.booleans())
def test_no_text_holds_its_own_category(
    steps: list[str], around: tuple[str, str, str], shouted: bool
) -> None:
    path = " > ".join(steps)
    written = path.upper() if shouted else path
    title, description = f"{around[0]}{written}{around[1]}", f"{around[1]}{written}{around[2]}"
    told = text_without_category(title, path, around[0], description)
    assert path.casefold() not in told.casefold()


def test_category_tasks_tell_the_path_that_their_texts_do_not_hold(folder: Path) -> None:
    category, every = examples_of(folder, "category", "categories")
    assert category.labels == ("Shop > Care", "Shop > Drinks > Milk", "Shop > Drinks > Wine")
    # "Shop" is where all of them are: there is nothing to tell
    assert every.labels == ("Shop > Care", "Shop > Drinks", "Shop > Drinks > Milk", "Shop > Drinks > Wine")
    word = {"soap": 0, "milk": 1, "wine": 2}
    for part, many in zip(category.parts, every.parts, strict=True):
        for text, target in zip(part.texts, part.targets.tolist(), strict=True):
            assert " > " not in text
            assert [place for name, place in word.items() if name in same_text(text).split()] == [target]
        for text, targets in zip(many.texts, many.targets.tolist(), strict=True):
            words = same_text(text).split()
            drink, milk = int("soap" not in words), int("milk" in words)
            assert targets == [1 - drink, drink, milk, drink - milk]


def test_what_reads_the_same_has_the_category_that_nearly_all_of_it_have(tmp_path: Path) -> None:
    items = items_of(60, np.random.default_rng(0))
    lost = {"category": "Shop > Lost"}
    copies = [items[5] | {"item_id": f"x{number}", **(lost if number == 4 else {})} for number in range(5)]
    copies.append(items[7] | {"item_id": "y", **lost})
    (found,) = examples_of(shop(tmp_path, [event("a")], [*items, *copies]), "category")
    texts = [same_text(text) for part in found.parts for text in part.texts]
    # five of six say one thing, which is enough; one of two is not
    for place, there in ((5, True), (7, False)):
        title = same_text(items[place]["title"])
        assert any(text.startswith(title) for text in texts) == there
    assert len(texts) == len(set(texts)) == 59
    assert "2 items are left out" in " ".join(found.told)


def test_brands_are_tagged_wherever_they_stand(folder: Path) -> None:
    assert brand_tags("By acme foods: figs, ACME figs", "Acme Foods") == (0, 1, 2, 0, 0, 0)
    assert brand_tags("figs", "") == (0,)
    assert brand_tags("acme", "acme foods") == (0,)
    (found,) = examples_of(folder, "brand")
    for part in found.parts:
        for text, tags in zip(part.texts, part.tags, strict=True):
            words = text.split()
            if text.startswith("Dog Food "):
                assert tags == (1, 2, *[0] * (len(words) - 2))
            elif text.startswith("Pizza "):
                assert tags == (1, *[0] * (len(words) - 1))
            else:
                assert not any(tags)


def log_of_searches() -> list[Row]:
    """Three users; what each line comes to is worked out in the test."""
    asks: dict[str, Any] = {"kind": "search", "item_id": None}
    return [
        event("a0", 0, kind="click", item_id="i3"),
        event("a1", 10, **asks, query="green tea"),
        event("a2", 60, kind="click"),
        event("a3", 90, kind="purchase"),
        event("a4", 95, kind="impression", item_id="i3"),
        event("a5", 120, item_id="i2"),
        event("a6", 200, **asks, query="wax"),
        event("a7", 210, kind="cart", item_id="i3"),
        event("a8", 200 + 30 * 60, kind="dismiss", item_id="i1"),
        event("a9", 201 + 30 * 60, kind="purchase", item_id="i2"),
        event("b0", 300, user_id="v", kind="click", item_id="i2"),
        event("b1", 300, user_id="v", **asks, query="Green  TEA!"),
        event("b2", 310, user_id="v", **asks, query="  "),
        event("b3", 320, user_id="v", kind="click", item_id="i3"),
        event("c1", 400, user_id="w", **asks, query="soap", session_id="1"),
        event("c2", 410, user_id="w", kind="click", item_id="i1", session_id="2"),
        event("c3", 420, user_id="w", kind="click", item_id="i2"),
    ]


def test_a_search_answers_for_half_an_hour_up_to_the_next_one(tmp_path: Path) -> None:
    data = tables(shop(tmp_path, log_of_searches()))
    assert answers(data) == [
        Answer("green tea", "Thing i1", 3, True),  # clicked and bought: once, by the better
        Answer("green tea", "Thing i2", 1, False),  # only looked at
        Answer("green tea", "Thing i3", 0, False),  # only shown; the click came before the search
        Answer(
            "wax", "Thing i1", 0, False
        ),  # waved away in the last moment; what was bought later is not its own
        Answer("wax", "Thing i3", 2, True),
        Answer("green tea", "Thing i2", 1, True),  # at the moment of the search, and typed in another way
        # an empty search ends the one before, and a click in another session is not this one's
        Answer("soap", "Thing i2", 1, True),
    ]
    told = leads(data, without=["GREEN tea"])
    assert [(told.texts[a], told.items[b]) for a, b in zip(told.source, told.target, strict=True)] == [
        ("wax", "Thing i3"),
        ("soap", "Thing i2"),
    ]


def test_items_are_ordered_by_their_mean_grade_and_pairs_count_as_often_as_they_were_seen(
    tmp_path: Path,
) -> None:
    rows = []
    for number in range(40):
        for user, one, other in (("u", "purchase", "impression"), ("v", "impression", "click")):
            at = number * HOUR
            name = f"{user}{number}"
            rows += [
                event(name, at, user_id=user, kind="search", item_id=None, query=f"query {number}"),
                event(f"{name}x", at + 1, user_id=user, kind=one, item_id="i1"),
                event(f"{name}y", at + 2, user_id=user, kind=other, item_id="i2"),
                event(f"{name}z", at + 3, user_id=user, kind="cart", item_id="i3"),
            ]
    relevance, search = examples_of(shop(tmp_path, rows), "relevance", "search")
    for part in relevance.parts:
        found = {
            (part.texts[query], part.texts[row]): grade
            for query, row, grade in zip(part.query, part.item, part.relevance, strict=True)
        }
        wanted = {"Thing i1": 1.5, "Thing i2": 0.5, "Thing i3": 2.0}
        assert found == {(query, name): grade for query in asked(part) for name, grade in wanted.items()}
    for part in search.parts:
        pairs = [(part.texts[a], part.texts[b]) for a, b in zip(part.first, part.second, strict=True)]
        for query in asked(part):
            said = sorted(name for asking, name in pairs if asking == query)
            assert said == ["Thing i1", "Thing i2", "Thing i3", "Thing i3"]


def without(kind: str) -> Callable[[Path], Path]:
    """The shop without events of a kind."""

    def make(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        items = items_of(60, rng)
        events = [*reviews_of(60, rng), *searches_of(60, items, rng)]
        return shop(folder, [row for row in events if row["kind"] != kind], items)

    return make


def with_items(**facts: Any) -> Callable[[Path], Path]:
    """The shop whose items all say the same of themselves."""

    def make(folder: Path) -> Path:
        items = [row | facts for row in items_of(60, np.random.default_rng(0))]
        return shop(folder, [event("a")], items)

    return make


def with_stars(stars: float) -> Callable[[Path], Path]:
    """The shop in which all reviews give as many stars."""

    def make(folder: Path) -> Path:
        rows = [row | {"value": stars} for row in reviews_of(60, np.random.default_rng(0))]
        return shop(folder, rows, items_of(60, np.random.default_rng(0)))

    return make


@pytest.mark.parametrize(
    ("task", "make", "said"),
    [
        ("sentiment", without("rating"), "0 distinct reviews with stars, and 30 are needed"),
        ("stars", without("rating"), "0 distinct reviews"),
        ("sentiment", with_stars(5.0), "only ('positive',) has 10 reviews"),
        ("stars", with_stars(5.0), "all reviews give 5 stars"),
        ("search", without("search"), "0 distinct searches"),
        ("relevance", without("search"), "0 distinct searches"),
        ("search", without("purchase"), "clicked, put into the cart or bought"),
        ("category", with_items(category="Shop > Drinks"), "only the category 'Shop > Drinks'"),
        ("categories", with_items(category=None), "0 items with a text and a category"),
        ("category", with_items(title="Wine", description=None, brand=None, category="Wine"), "0 items"),
        ("brand", with_items(brand="Nobody"), "0 titles in which the item's brand is written"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_shop_says_what_it_lacks(
    tmp_path: Path, task: str, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        examples_of(make(tmp_path), task)
    assert task in str(refused.value)
    assert said in str(refused.value)
    assert "leave it out" in str(refused.value)


def test_without_a_log_items_still_teach(tmp_path: Path, folder: Path) -> None:
    nothing = tmp_path / "events.parquet"
    items = folder / "items.parquet"
    assert shop_examples(["category"], events=nothing, items=items, until=datetime(2025, 1, 1, tzinfo=UTC))
    for task in ("stars", "search"):
        with pytest.raises(InvalidInput, match="there are no events"):
            shop_examples([task], events=nothing, items=items)
    with pytest.raises(InvalidInput, match="'moods' is no task of a shop"):
        shop_examples(["moods"], events=nothing, items=items)
