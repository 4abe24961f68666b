from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.labels.item_classes import item_classes
from honeyguide.data.labels.next_interest import next_interests
from honeyguide.data.labels.rewards import StarScale, rewards
from honeyguide.data.labels.visits import visits
from honeyguide.errors import InvalidInput
from tests.label_tables import DAY_US, N_ITEMS, Entry, entries, grade, make_table

steps = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
categories = st.lists(steps.map(" > ".join), max_size=40)


def test_rare_classes_fold_into_their_parents_level_by_level() -> None:
    shop = (
        ["Tops > Knits > Wool"] * 3 + ["Tops > Knits > Silk"] + ["Tops > Blouses"] * 2 + ["Tops"]
        + ["Trend > New"] + ["Dresses > Long"] * 2 + ["Dresses > Short"] + [""]
    )  # fmt: skip
    found = item_classes(shop, least=2)
    told = [dict(zip(level.names, level.counts.tolist(), strict=True)) for level in found]
    assert told == [
        {"Dresses": 3, "Tops": 7},
        {"Dresses > Long": 2, "Tops > Blouses": 2, "Tops > Knits": 4},
        {"Dresses > Long": 2, "Tops": 2, "Tops > Blouses": 2, "Tops > Knits > Wool": 3},
    ]
    second, third = ([level.names[row] if row >= 0 else None for row in level.label] for level in found[1:])
    assert second[6:] == [None, None, "Dresses > Long", "Dresses > Long", None, None]
    # Silk folds into Knits, where it is alone, and then into Tops, where it meets the item that is no more than that
    assert (third[3], third[6]) == ("Tops", "Tops")


@given(categories, st.integers(1, 4))
def test_every_class_has_enough_items_and_is_a_beginning_of_their_paths(paths: list[str], least: int) -> None:
    found = item_classes(paths, least=least)
    assert len(found) == max((len(path.split(" > ")) for path in paths if path), default=0)
    for depth, level in enumerate(found, start=1):
        assert len(level.label) == len(paths)
        assert list(level.names) == sorted(set(level.names), key=lambda name: name.split(" > "))
        assert (level.counts >= least).all()
        for path, row in zip(paths, level.label, strict=True):
            if row >= 0:
                name = level.names[row].split(" > ")
                assert len(name) <= depth
                assert path.split(" > ")[: len(name)] == name


@given(categories, st.integers(1, 4))
def test_levels_are_what_a_plain_loop_finds(paths: list[str], least: int) -> None:
    for depth, level in enumerate(item_classes(paths, least=least), start=1):
        mine = [tuple(path.split(" > "))[:depth] if path else () for path in paths]
        for size in range(depth, 0, -1):
            rare = {path for path in mine if len(path) == size and mine.count(path) < least}
            mine = [path[:-1] if path in rare else path for path in mine]
        wanted = [" > ".join(path) or None for path in mine]
        assert [level.names[row] if row >= 0 else None for row in level.label] == wanted


@given(categories)
def test_where_one_item_is_enough_every_category_is_its_own_class(paths: list[str]) -> None:
    found = item_classes(paths, least=1)
    if found:
        last = found[-1]
        assert [last.names[row] if row >= 0 else "" for row in last.label] == paths


def test_odd_categories_are_read_as_paths() -> None:
    first, second = item_classes(["A >  > B", " A > B ", " > ", ""], least=1)
    assert (first.names, first.label.tolist()) == (("A",), [0, 0, -1, -1])
    assert (second.names, second.label.tolist()) == (("A > B",), [0, 0, -1, -1])
    assert item_classes([]) == ()
    with pytest.raises(InvalidInput, match="bare string"):
        item_classes("A > B")
    with pytest.raises(InvalidInput, match="least"):
        item_classes(["A"], least=0)


@settings(deadline=None)
@given(
    entries,
    st.lists(st.integers(-1, 2), min_size=N_ITEMS, max_size=N_ITEMS),
    st.sampled_from([1.0, 7.0, 30.0]),
    st.sampled_from([None, StarScale(1, 5)]),
)
def test_next_interests_are_what_a_plain_loop_finds(
    rows: list[Entry], classes: list[int], days: float, scale: StarScale | None
) -> None:
    log = make_table(rows)
    found = visits(log, origin_us=0)
    class_of = np.array(classes, dtype=np.int32)
    result = next_interests(log, found, class_of, grade=grade, window_days=days, scale=scale)
    reward = rewards(log, grade=grade, scale=scale)
    for visit in range(len(found)):
        start = int(found.time_us[visit])
        mine = [
            at
            for at in range(len(log))
            if log.user[at] == found.user[visit] and reward[at] > 0 and classes[log.item[at]] >= 0
        ]
        after = [at for at in mine if start < log.time_us[at] <= start + days * DAY_US]
        at = min(after, key=lambda at: (log.time_us[at], -reward[at], at), default=-1)
        assert result.event[visit] == at
        if at < 0:
            assert (result.label[visit], result.item[visit], result.new[visit]) == (-1, -1, False)
            continue
        label = classes[log.item[at]]
        before = {classes[log.item[past]] for past in mine if log.time_us[past] <= start}
        assert (result.label[visit], result.item[visit]) == (label, log.item[at])
        assert result.new[visit] == (label not in before)


def test_of_a_basket_the_best_graded_item_counts_then_the_first() -> None:
    log = make_table([(1, 0, 0, "click", None), (1, 0, 2, "purchase", None), (1, 0, 4, "purchase", None)])
    found = next_interests(
        log, visits(log, origin_us=0), np.array([0, 0, 1, 1, 2], np.int32), grade=grade, window_days=1
    )
    assert (found.label.tolist(), found.item.tolist(), found.new.tolist()) == ([1], [2], [True])


def test_a_class_for_every_item_is_needed() -> None:
    log = make_table([(1, 0, 4, "click", None)])
    with pytest.raises(InvalidInput, match="too few"):
        next_interests(log, visits(log, origin_us=0), np.zeros(4, np.int32), grade=grade, window_days=1)
