"""The labelled data sets as files: what the functions say, and no part knows a later one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.data.catalog import Catalog
from honeyguide.data.labels.ads import ad_responses
from honeyguide.data.labels.files import write_labels
from honeyguide.data.labels.item_classes import item_classes
from honeyguide.data.labels.manifest import load_labels
from honeyguide.data.labels.negatives import item_counts, taken
from honeyguide.data.labels.next_interest import next_interests
from honeyguide.data.labels.parts import PARTS, Moments
from honeyguide.data.labels.rewards import StarScale, rewards
from honeyguide.data.labels.shown import load_shown
from honeyguide.data.labels.summary import label_counts
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.data.split import moments_by_share, one_left_out
from honeyguide.data.table import EventTable, load_events
from honeyguide.types import EVENT_KINDS
from tests.label_tables import DAY_US, store
from tests.labelled_shop import (
    BY_CHANCE,
    DAYS,
    IMPRESSION,
    IN_TIME,
    SETTINGS,
    TEST_US,
    VALIDATION_US,
    day_of,
    edges,
    fill,
    ids_in_order,
    parts_of,
    random_touches,
    read,
    store_items,
)


@pytest.fixture(scope="module", params=[0, 1])
def labelled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fill(tmp_path_factory.mktemp("shop"), request.param)
    write_labels(folder, SETTINGS, seed=0)
    return folder


@pytest.fixture
def catalog(labelled: Path) -> Catalog:
    return Catalog.read(labelled / "items.parquet")


@pytest.fixture
def table(labelled: Path, catalog: Catalog) -> EventTable:
    return load_events(labelled / "events.parquet", catalog)


@pytest.fixture
def graded(table: EventTable) -> dict[str, Any]:
    return {"grade": SETTINGS.grade, "scale": StarScale(1, 5)}


def test_an_interaction_is_every_event_about_an_item_with_what_it_earns(
    labelled: Path, table: EventTable, catalog: Catalog, graded: dict[str, Any]
) -> None:
    reward = rewards(table, **graded)
    part = parts_of(table, table.time_us, table.time_us)
    left_out = one_left_out(table, counts=taken(table))
    names = ids_in_order(labelled)
    wanted = [
        (
            names[at],
            table.users[table.user[at]],
            catalog.ids[table.item[at]],
            int(table.time_us[at]),
            EVENT_KINDS[table.kind[at]],
            None if np.isnan(table.value[at]) else float(table.value[at]),
            float(reward[at]),
            part[at],
            PARTS[left_out[at]],
        )
        for at in range(len(table))
        if table.item[at] >= 0
    ]
    assert read(labelled, "interactions") == wanted


def test_a_visit_has_its_whole_window_in_one_part_and_its_outcomes_beside_it(
    labelled: Path, table: EventTable, catalog: Catalog, graded: dict[str, Any]
) -> None:
    seen = visits(table, origin_us=0)
    part = parts_of(table, seen.time_us + 1, seen.time_us + 7 * DAY_US)
    kept = [at for at in range(len(seen)) if part[at]]
    found = seen.take(np.array(kept))
    came = outcomes(table, found, window_days=7, **graded)
    sizes = np.diff(came.starts)
    users = [table.users[user] for user in found.user]
    times = found.time_us.tolist()
    assert read(labelled, "visits") == [
        (n, users[n], times[n], int(sizes[n]), part[kept[n]]) for n in range(len(kept))
    ]
    assert {row[-1] for row in read(labelled, "visits")} == set(PARTS)
    assert 0 < len(kept) < len(seen)
    visit = np.repeat(np.arange(len(kept)), sizes)
    assert read(labelled, "outcomes") == [
        (int(v), users[v], catalog.ids[item], int(us), float(reward), bool(discovery), part[kept[v]])
        for v, item, us, reward, discovery in zip(
            visit, came.item, came.time_us, came.reward, came.discovery, strict=True
        )
    ]
    level = item_classes(catalog.categories, least=2)[-1]
    following = next_interests(table, found, level.label, window_days=7, **graded)
    assert read(labelled, "next_interests") == [
        (
            n,
            users[n],
            times[n],
            catalog.ids[following.item[n]],
            level.names[following.label[n]],
            bool(following.new[n]),
            part[kept[n]],
        )
        for n in range(len(kept))
        if following.label[n] >= 0
    ]


def test_a_visit_that_begins_with_a_part_is_in_it(tmp_path: Path) -> None:
    store_items(tmp_path)
    bought = {"kind": "purchase", "item_id": "i0"}
    days = {"a": 0.0, "b": 60.0, "c": 80.0, "d": 60 - 1 / DAY_US, "e": 100 - 1 / DAY_US}
    store(
        tmp_path, "events", [{**bought, "event_id": u, "user_id": u, "time": day} for u, day in days.items()]
    )
    report = write_labels(tmp_path, SETTINGS, seed=0)
    assert (day_of(report.validation_from), day_of(report.test_from)) == (60, 80)
    assert {row[1]: row[-1] for row in read(tmp_path, "visits")} == {
        "a": "train",
        "b": "validation",
        "c": "test",
    }  # the days after the others are over too late
    assert [row[-2] for row in read(tmp_path, "interactions")] == [
        "train",
        "train",
        "validation",
        "test",
        "test",
    ]


def test_events_of_one_moment_keep_their_rewards(tmp_path: Path) -> None:
    store_items(tmp_path)
    kinds = ["view", "purchase", "click", "cart"]
    rows = [
        {"event_id": f"e{n}", "user_id": f"u{9 - n}", "time": 5, "kind": kind, "item_id": "i0"}
        for n, kind in enumerate(kinds)
    ]
    store(tmp_path, "events", [*edges(), *rows])
    write_labels(tmp_path, SETTINGS, seed=0)
    found = [(row[0], row[4], row[6]) for row in read(tmp_path, "interactions")[1:-1]]
    assert found == [("e0", "view", 0.1), ("e1", "purchase", 1), ("e2", "click", 0.2), ("e3", "cart", 0.5)]


def test_what_was_shown_is_there_slot_by_slot(
    labelled: Path, table: EventTable, catalog: Catalog, graded: dict[str, Any]
) -> None:
    seen = load_shown(labelled / "events.parquet", catalog, window_days=7, **graded)
    part = parts_of(table, seen.time_us, seen.time_us + 7 * DAY_US)
    kept = [page for page in range(len(seen)) if part[page]]
    wanted = [
        (
            number,
            seen.users[seen.user[page]],
            int(seen.time_us[page]),
            catalog.ids[seen.item[slot]],
            int(seen.position[slot]),
            float(seen.propensity[slot]),
            float(seen.reward[slot]),
            bool(seen.dismissed[slot]),
            bool(seen.skipped[slot]),
            part[page],
        )
        for number, page in enumerate(kept)
        for slot in range(seen.starts[page], seen.starts[page + 1])
    ]
    assert wanted
    assert read(labelled, "shown") == wanted


def test_negatives_are_unknown_items_with_the_log_probability_that_a_plain_count_gives(
    labelled: Path, table: EventTable, catalog: Catalog, graded: dict[str, Any]
) -> None:
    reward, names = rewards(table, **graded), ids_in_order(labelled)
    train = table.between(until=moments_by_share(table, validation=0.2, test=0.2)[0])
    weight = item_counts(train, len(catalog)) ** SETTINGS.alpha
    rows = read(labelled, "negatives")
    drawn = Counter(row[0] for row in rows)
    at_of = {names[at]: at for at in np.flatnonzero(reward > 0).tolist()}
    assert set(drawn) <= set(at_of)
    assert set(drawn.values()) == {SETTINGS.negatives}
    assert [at_of[row[0]] for row in rows] == sorted(at_of[row[0]] for row in rows)
    part = parts_of(table, table.time_us, table.time_us)
    for event_id, user_id, item_id, us, log_q, in_part in rows:
        at = at_of[event_id]
        before = (table.user == table.user[at]) & (table.time_us <= table.time_us[at]) & (table.item >= 0)
        known = set(table.item[before & (table.kind != IMPRESSION)].tolist())
        free = [item for item in range(len(catalog)) if item not in known]
        item = catalog.row(item_id)
        assert (user_id, us, in_part) == (table.users[table.user[at]], table.time_us[at], part[at])
        assert item in free
        assert log_q == pytest.approx(np.log(weight[item] / weight[free].sum()), rel=1e-6)


def test_answers_to_campaigns_are_those_of_the_function(labelled: Path, table: EventTable) -> None:
    found = ad_responses(labelled / "touches.parquet", window_days=7)
    last = max(row["time"] for row in random_touches(0)) * DAY_US
    part = parts_of(table, found.time_us, found.time_us + 7 * DAY_US)
    wanted = [
        (
            found.campaigns[found.campaign[n]],
            found.users[found.user[n]],
            bool(found.treated[n]),
            int(found.time_us[n]),
            bool(found.visited[n]),
            bool(found.clicked[n]),
            bool(found.redeemed[n]),
            float(found.value[n]),
            None,
            part[n],
        )
        for n in range(len(found))
        if part[n]
    ]
    assert last <= table.time_us[-1]  # so the log's end is the end
    assert wanted
    assert read(labelled, "ad_responses") == wanted


@pytest.mark.parametrize("moment", [VALIDATION_US, TEST_US])
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_that_happens_from_a_moment_on_is_seen_in_an_earlier_part(
    tmp_path: Path, seed: int, moment: int
) -> None:
    """The past of two logs is the same and all that comes after it differs: so are the parts up to there."""
    found = {}
    for name, later in (("one", 100 + seed), ("other", 200 + seed)):
        folder = fill(tmp_path / name, seed, later, cut=moment / DAY_US + 1e-9)
        write_labels(folder, SETTINGS, seed=3)
        found[name] = folder
    earlier = PARTS[: 1 if moment == VALIDATION_US else 2]
    differ = 0
    for name in IN_TIME:
        for part in earlier:
            assert read(found["one"], name, part=part) == read(found["other"], name, part=part), name
        differ += any(
            read(found["one"], name, part=p) != read(found["other"], name, part=p)
            for p in PARTS[len(earlier) :]
        )
    assert differ == len(IN_TIME)


def test_items_texts_and_messages_are_split_by_chance_and_what_says_the_same_is_on_one_side(
    tmp_path: Path,
) -> None:
    store(
        tmp_path,
        "items",
        [
            {"item_id": f"i{n:03}", "title": f"boot {n // 2}", "category": f"Shoes > {'AB'[n // 2 % 2]}"}
            for n in range(200)
        ],
    )
    store(
        tmp_path,
        "messages",
        [
            {"message_id": f"m{n:03}", "text": f"Where is {n // 2}{'?' * (n % 2)}", "intent": "track"}
            for n in range(100)
        ],
    )
    reviews = [
        {"event_id": f"e{n:03}", "time": n, "user_id": "u", "kind": "rating", "item_id": "i000", "value": 1 + n % 5,
         "text": f"so {n} so"}
        for n in range(100)
    ]  # fmt: skip
    store(tmp_path, "events", reviews)
    write_labels(tmp_path, replace(SETTINGS, validation=0.1, test=0.1), seed=0)
    for name, rows in (("item_classes", 200), ("intents", 100), ("sentiments", 100)):
        found = read(tmp_path, name)
        assert [row[0] for row in found] == sorted(row[0] for row in found)
        shares = Counter(row[-1] for row in found)
        assert (len(found), shares["validation"], shares["test"]) == (rows, rows // 10, rows // 10)
    for name in ("item_classes", "intents"):
        part = [row[-1] for row in read(tmp_path, name)]
        assert part[0::2] == part[1::2]
    first = read(tmp_path, "sentiments")[0]
    assert first[:7] == ("e000", "u", "i000", 0, "so 0 so", 1.0, "negative")
    assert read(tmp_path, "item_classes")[2][:3] == ("i002", "Shoes", "Shoes > B")
    assert read(tmp_path, "intents")[1][:3] == ("m001", "Where is 0?", "track")


def test_a_class_is_that_of_the_item_on_each_level(labelled: Path) -> None:
    told = {row[0]: row[1:3] for row in read(labelled, "item_classes")}
    assert told == {
        "i0": ("Shoes", "Shoes > Boots"),
        "i1": ("Shoes", "Shoes > Boots"),
        "i2": ("Shoes", "Shoes > Sandals"),
        "i3": ("Shoes", "Shoes > Sandals"),
        "i4": ("Hats", "Hats"),
        "i5": ("Hats", "Hats"),
    }  # one belt is too few, and one item has no category


def test_the_manifest_says_what_is_there(labelled: Path) -> None:
    report = load_labels(labelled)
    assert {file.file for file in report.files} == {f"{name}.parquet" for name in (*IN_TIME, *BY_CHANCE)}
    for file in report.files:
        rows = read(labelled, file.file.removesuffix(".parquet"))
        at = -2 if file.file == "interactions.parquet" else -1
        counted = Counter(row[at] for row in rows)
        assert (file.rows, dict(file.parts)) == (len(rows), {name: counted[name] for name in PARTS})
    counts = {count.label: count.count for count in report.counts}
    rows_of = {file.file: file.rows for file in report.files}
    assert counts["visit"] == rows_of["visits.parquet"]
    assert counts["shown"] == rows_of["shown.parquet"]
    assert counts["sentiment"] == rows_of["sentiments.parquet"]
    assert counts["intent"] == rows_of["intents.parquet"] == 30
    assert counts["next interest"] == rows_of["next_interests.parquet"]
    assert counts["reward"] == sum(row[6] > 0 for row in read(labelled, "interactions"))
    assert counts["drawn negatives"] * SETTINGS.negatives == rows_of["negatives.parquet"]
    assert {count.label for count in label_counts(labelled, SETTINGS)} == set(counts)
    assert (day_of(report.validation_from), day_of(report.test_from)) == pytest.approx((60, 80))
    assert (report.stars, report.seed, report.settings) == ((1, 5), 0, SETTINGS)
    plain = json.loads((labelled / "labels" / "labels.json").read_text())
    assert plain["settings"]["negatives"] == 4
    assert f"{rows_of['visits.parquet']:,} rows: train" in str(report)
    cut = next(note for note in report.notes if "visits" in note)
    assert "the 7 days after them reach into the next part" in cut


def test_the_same_seed_draws_the_same_and_another_one_other_negatives(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    found = []
    for seed in (0, 0, 1):
        write_labels(tmp_path, SETTINGS, seed=seed)
        found.append({name: read(tmp_path, name) for name in (*IN_TIME, *BY_CHANCE)})
    assert found[0] == found[1]
    same = {name for name in found[0] if found[0][name] == found[2][name]}
    assert same == set(IN_TIME) - {"negatives"}


def test_drawing_in_many_chunks_changes_nothing_but_the_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 0)
    write_labels(tmp_path, SETTINGS, seed=0)
    whole = read(tmp_path, "negatives")
    monkeypatch.setattr("honeyguide.data.labels.of_log._DRAWS_AT_ONCE", 3 * SETTINGS.negatives)
    write_labels(tmp_path, SETTINGS, seed=0)
    chunks = read(tmp_path, "negatives")
    at = (0, 1, 3, 5)
    assert [[row[n] for n in at] for row in chunks] == [[row[n] for n in at] for row in whole]


def test_settings_that_switch_off_and_choose(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    report = write_labels(tmp_path, replace(SETTINGS, negatives=0, smallest_class=7), seed=0)
    names = {file.file for file in report.files}
    assert "negatives.parquet" not in names
    assert {row[1] for row in read(tmp_path, "intents")} <= {f"say {n}" for n in range(30)}
    assert "item_classes.parquet" not in names  # six shoes and hats at most, and ten messages of each intent


def test_a_rating_earns_by_its_stars_and_a_later_scale_does_not_move_earlier_rewards(tmp_path: Path) -> None:
    store_items(tmp_path)
    rating = {"user_id": "u", "kind": "rating", "item_id": "i0"}
    events = [
        {**rating, "event_id": "bad", "time": 1, "value": 1},
        {**rating, "event_id": "good", "time": 2, "value": 5},
        {**rating, "event_id": "points", "time": DAYS, "value": 90},
    ]
    store(tmp_path, "events", [*edges(), *events])
    report = write_labels(tmp_path, SETTINGS, seed=0)
    reward = {row[0]: row[6] for row in read(tmp_path, "interactions")}
    assert (reward["bad"], reward["good"], report.stars) == (0, 0.5, (1, 5))


def test_ids_and_texts_come_through_whatever_is_in_them(tmp_path: Path) -> None:
    odd = [" ", "'", '"', "a\nb", "\\u0041", "蜂蜜", "🐝", "x" * 256, "NULL", "{}", "1e5", "-"]
    store(tmp_path, "items", [{"item_id": i, "title": i, "category": f"c {i}"} for i in odd])
    store(
        tmp_path,
        "events",
        [
            {"event_id": f"e{i}", "time": n, "user_id": f"u{i}", "kind": "purchase", "item_id": i}
            for n, i in enumerate(odd)
        ],
    )
    asked = [{"message_id": f"m{i}", "text": f"{n} {i}", "intent": f"n{i}"} for n, i in enumerate(odd)]
    store(tmp_path, "messages", asked)
    write_labels(tmp_path, replace(SETTINGS, smallest_class=1, window_days=1), seed=0)
    assert [row[:3] for row in read(tmp_path, "interactions")] == [(f"e{i}", f"u{i}", i) for i in odd]
    assert {row[0]: row[1] for row in read(tmp_path, "item_classes")} == {i: f"c {i}".strip() for i in odd}
    assert {row[0]: row[2] for row in read(tmp_path, "intents")} == {f"m{i}": f"n{i}" for i in odd}


@given(
    st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 30)), max_size=30),
    st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(1, 20)),
)
def test_a_span_belongs_to_the_part_that_holds_both_of_its_ends(
    spans: list[tuple[int, int]], lengths: tuple[int, int, int]
) -> None:
    validation, test, end = (int(moment) for moment in np.cumsum(lengths))
    moments = Moments(validation, test, end)
    first = np.array([first for first, _ in spans], dtype=np.int64)
    last = first + np.array([days for _, days in spans], dtype=np.int64)
    bounds = [(-100, validation - 1), (validation, test - 1), (test, end)]
    for low, high, part in zip(first.tolist(), last.tolist(), moments.part_of_span(first, last), strict=True):
        holding = [n for n, (begin, until) in enumerate(bounds) if begin <= low and high <= until]
        assert [part] == (holding or [-1])
