"""The labelled data sets as files: what the functions say, no part knows a later one, and all or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.config import Labels
from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import Table
from honeyguide.data.database import replace_files
from honeyguide.data.labels import files as writing
from honeyguide.data.labels.ads import ad_responses
from honeyguide.data.labels.files import write_labels
from honeyguide.data.labels.item_classes import item_classes
from honeyguide.data.labels.manifest import LabelReport, load_labels
from honeyguide.data.labels.negatives import item_counts, taken
from honeyguide.data.labels.next_interest import next_interests
from honeyguide.data.labels.parts import PARTS, Moments
from honeyguide.data.labels.rewards import StarScale, rewards
from honeyguide.data.labels.shown import load_shown
from honeyguide.data.labels.summary import label_counts
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.data.split import moments_by_share, one_left_out
from honeyguide.data.table import EventTable, load_events, to_us
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady
from honeyguide.types import EVENT_KINDS
from tests.label_tables import DAY_US, store

SETTINGS = Labels(window_days=7, smallest_class=2, validation=0.2, test=0.2)
DAYS = 100
VALIDATION_US, TEST_US = 60 * DAY_US, 80 * DAY_US  # up to the microsecond that the last event takes
CATEGORIES = (
    "Shoes > Boots",
    "Shoes > Boots",
    "Shoes > Sandals",
    "Shoes > Sandals",
    "Hats",
    "Hats",
    "Belts",
    "",
)
ITEMS = tuple(f"i{n}" for n in range(len(CATEGORIES)))
IN_TIME = (
    "interactions", "visits", "outcomes", "next_interests", "shown", "negatives", "ad_responses",
)  # fmt: skip
BY_CHANCE = ("item_classes", "sentiments", "intents")

IMPRESSION = EVENT_KINDS.index("impression")

Rows = list[tuple[Any, ...]]


def day_of(moment: str | None) -> float:
    assert moment is not None
    return to_us(datetime.fromisoformat(moment)) / DAY_US


def read(folder: Path, name: str, *, part: str | None = None) -> Rows:
    """The rows of a labelled data set as they lie, times as microseconds."""
    path = folder / "labels" / f"{name}.parquet"
    with duckdb.connect() as db:
        columns = [row[0] for row in db.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()]
        chosen = ", ".join("epoch_us(time)" if c == "time" else f'"{c}"' for c in columns)
        where = f"WHERE part = '{part}'" if part else ""
        return db.execute(f"SELECT {chosen} FROM read_parquet('{path}') {where}").fetchall()


def random_events(seed: int, *, since: float = 0, until: float = DAYS) -> Iterator[dict[str, Any]]:
    """Some weeks of shopping, with pages, reviews and searches; the first and the last moment are always there."""
    rng = np.random.default_rng(seed)
    kinds = ["view", "click", "cart", "purchase", "rating", "dismiss", "impression", "search"]
    for n in range(160):
        day, kind = float(rng.uniform(since, until)), str(rng.choice(kinds))
        row: dict[str, Any] = {
            "event_id": f"e{seed}-{n}",
            "user_id": f"u{rng.integers(6)}",
            "time": day,
            "kind": kind,
            "item_id": None if kind == "search" else ITEMS[rng.integers(len(ITEMS))],
        }
        if kind == "rating":
            stars = int(rng.integers(1, 6))
            row |= {"value": stars, "text": f"I give it {stars} {rng.integers(99)}"}
        if kind in ("impression", "click", "dismiss"):
            row |= {"decision_id": [None, "d0", "d1", "d2"][rng.integers(4)]}
        if kind == "impression":
            row |= {"position": int(rng.integers(4)), "propensity": float(rng.uniform(0.1, 1))}
        yield row


def edges() -> list[dict[str, Any]]:
    first = {"event_id": "first", "user_id": "u0", "time": 0, "kind": "purchase", "item_id": "i0"}
    return [first, {**first, "event_id": "last", "time": DAYS, "user_id": "last"}]


def random_touches(seed: int, *, since: float = 0, until: float = DAYS) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    for n in range(60):
        yield {
            "touch_id": f"t{seed}-{n}",
            "user_id": f"u{rng.integers(6)}",
            "campaign_id": f"c{rng.integers(4)}",
            "time": float(rng.uniform(since, until)),
            "kind": str(rng.choice(["sent", "withheld", "visit", "click", "redeemed"])),
            "value": float(rng.integers(9)),
        }


def store_items(folder: Path) -> None:
    rows = zip(ITEMS, CATEGORIES, strict=True)
    store(folder, "items", [{"item_id": i, "title": f"t {i}", "category": c or None} for i, c in rows])


def fill(folder: Path, *seeds: int, cut: float | None = None) -> Path:
    """A random shop; with `cut` what happens from that day on is of the second seed."""
    folder.mkdir(exist_ok=True)
    store_items(folder)
    spans = [(seeds[0], {})] if cut is None else [(seeds[0], {"until": cut}), (seeds[1], {"since": cut})]
    events = [row for seed, span in spans for row in random_events(seed, **span)]
    store(folder, "events", [*edges(), *events])
    touches = [row for seed, span in spans for row in random_touches(seed, **span)]
    store(folder, "touches", touches)
    store(
        folder,
        "messages",
        [{"message_id": f"m{n:02}", "text": f"say {n}", "intent": f"x{n % 3}"} for n in range(30)],
    )
    return folder


def parts_of(table: EventTable, first_us: Any, last_us: Any) -> Any:
    """The name of the part that holds both ends, None where none does, worked out moment by moment."""
    validation, test = map(to_us, moments_by_share(table, validation=0.2, test=0.2))
    bounds = [(-(10**18), validation - 1), (validation, test - 1), (test, int(table.time_us[-1]))]
    return [
        next((PARTS[n] for n, (low, high) in enumerate(bounds) if low <= first and last <= high), None)
        for first, last in zip(first_us, last_us, strict=True)
    ]


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


def ids_in_order(folder: Path) -> list[str]:
    path = folder / "events.parquet"
    with duckdb.connect() as db:
        found = db.execute(f"SELECT event_id FROM read_parquet('{path}') ORDER BY time, event_id").fetchall()
    return [event_id for (event_id,) in found]


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


@pytest.mark.parametrize("broken", ["label_messages", "replace_files"])
def test_what_is_interrupted_before_it_is_through_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    fill(tmp_path, 0)
    report = write_labels(tmp_path, SETTINGS, seed=0)
    before = {path.name: path.read_bytes() for path in (tmp_path / "labels").iterdir()}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, broken, stop)
        with pytest.raises(KeyboardInterrupt):
            write_labels(tmp_path, SETTINGS, seed=1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "labels").iterdir()} == before
    assert load_labels(tmp_path) == report
    assert list(tmp_path.glob(".labels-*")) == []


def test_what_is_killed_while_files_are_moved_is_noticed_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 0)
    write_labels(tmp_path, SETTINGS, seed=0)

    def half(moves: list[tuple[Path, Path]]) -> None:
        replace_files(moves[: len(moves) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, "replace_files", half)
        with pytest.raises(KeyboardInterrupt):
            write_labels(tmp_path, replace(SETTINGS, purchase=0.9), seed=1)
    with pytest.raises(DamagedArtifact, match=r"is not what labels\.json says"):
        load_labels(tmp_path)
    (tmp_path / ".labels-killed").mkdir()
    assert write_labels(tmp_path, SETTINGS, seed=1) == load_labels(tmp_path)
    assert list(tmp_path.glob(".labels-*")) == []


def test_a_label_that_can_no_longer_be_made_goes_with_its_file(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    write_labels(tmp_path, SETTINGS, seed=0)
    (tmp_path / "messages.parquet").unlink()
    report = write_labels(tmp_path, SETTINGS, seed=0)
    assert not (tmp_path / "labels" / "intents.parquet").exists()
    assert next(count for count in report.counts if count.label == "intent").missing
    assert load_labels(tmp_path) == report


def only(folder: Path, table: Table, rows: list[dict[str, Any]]) -> LabelReport:
    store(folder, table, rows)
    return write_labels(folder, SETTINGS, seed=0)


def test_items_alone_have_their_classes(tmp_path: Path) -> None:
    rows = [
        {"item_id": i, "title": "t", "category": c or None} for i, c in zip(ITEMS, CATEGORIES, strict=True)
    ]
    report = only(tmp_path, "items", rows)
    assert [file.file for file in report.files] == ["item_classes.parquet"]
    assert (report.validation_from, report.test_from, report.stars) == (None, None, None)
    assert "reward: none; there are no events: import a log" in str(report)


def test_messages_alone_have_their_intents(tmp_path: Path) -> None:
    asked = [{"message_id": f"m{n}", "text": f"where {n}", "intent": "track"} for n in range(10)]
    report = only(tmp_path, "messages", [*asked, {"message_id": "x", "text": "hello", "intent": "greet"}])
    assert [file.file for file in report.files] == ["intents.parquet"]
    assert "1 messages are left out: fewer than 2 have their intent" in report.notes


def test_touches_alone_are_split_at_their_own_moments(tmp_path: Path) -> None:
    sent = {"campaign_id": "c", "kind": "sent"}
    report = only(
        tmp_path,
        "touches",
        [{**sent, "touch_id": f"t{n}", "user_id": f"u{n}", "time": n} for n in range(0, DAYS + 1, 2)],
    )
    assert (day_of(report.validation_from), day_of(report.test_from)) == pytest.approx((60, 80))
    part = {row[1]: row[-1] for row in read(tmp_path, "ad_responses")}
    days = {name: sorted(int(user[1:]) for user in part if part[user] == name) for name in PARTS}
    # a window of 7 days must be over before the next part begins, and at the last touch
    assert days == {
        "train": [*range(0, 53, 2)],
        "validation": [62, 64, 66, 68, 70, 72],
        "test": [82, 84, 86, 88, 90, 92],
    }
    assert "12 sendings are left out" in " ".join(report.notes)


def test_touches_without_times_are_split_by_chance_and_no_user_is_on_two_sides(tmp_path: Path) -> None:
    rows = [
        {"touch_id": f"{kind}{u}{c}", "user_id": f"u{u:03}", "campaign_id": c, "kind": kind, "time": None}
        for u in range(200)
        for c in "ab"
        for kind in ("sent", *(["redeemed"] if u % 10 == 0 and c == "a" else []))
    ]
    report = only(tmp_path, "touches", rows)
    found = read(tmp_path, "ad_responses")
    sides = {user: {row[-1] for row in found if row[1] == user} for user in {row[1] for row in found}}
    assert all(len(side) == 1 for side in sides.values())
    assert (dict(report.files[0].parts), report.validation_from) == (
        {"train": 240, "validation": 80, "test": 80},
        None,
    )
    redeemed = Counter(row[-1] for row in found if row[6])
    assert redeemed == {"train": 12, "validation": 4, "test": 4}
    assert {row[3] for row in found} == {None}


def test_a_log_of_nothing_but_searches_has_no_interactions(tmp_path: Path) -> None:
    search = {"user_id": "u", "kind": "search", "item_id": None, "query": "boots"}
    report = only(tmp_path, "events", [{**search, "event_id": f"e{n}", "time": n} for n in range(50)])
    assert [file.file for file in report.files] == ["visits.parquet"]
    assert "drawn negatives: none; there must be a rewarded event" in str(report)


def test_an_empty_log_is_no_log(tmp_path: Path) -> None:
    report = only(tmp_path, "events", [])
    assert report.files == ()
    assert all(not count.count and count.missing for count in report.counts)


def test_a_log_of_one_moment_says_that_time_cannot_split_it(tmp_path: Path) -> None:
    store_items(tmp_path)
    bought = {"time": 5, "user_id": "u", "kind": "purchase"}
    report = only(tmp_path, "events", [{**bought, "event_id": f"e{n}", "item_id": f"i{n}"} for n in range(4)])
    (interactions,) = [file for file in report.files if file.file == "interactions.parquet"]
    assert dict(interactions.parts) == {"train": 0, "validation": 0, "test": 4}
    assert [row[-1] for row in read(tmp_path, "interactions")] == ["train", "train", "validation", "test"]
    assert any("one and the same time" in note for note in report.notes)


def test_cleaned_tables_are_labelled_where_there_are_any(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    clean = tmp_path / "clean"
    clean.mkdir()
    store_items(clean)
    store(clean, "events", edges())
    write_labels(tmp_path, SETTINGS, seed=0)
    assert [row[0] for row in read(tmp_path, "interactions")] == ["first", "last"]
    assert len(read(tmp_path, "intents")) == 30


def test_what_cannot_be_labelled_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="nothing that could be labelled"):
        write_labels(tmp_path, SETTINGS, seed=0)
    with pytest.raises(NotReady, match="Run: honeyguide prepare"):
        load_labels(tmp_path)
    store_items(tmp_path)
    (tmp_path / "labels").write_text("mine")
    with pytest.raises(InvalidInput, match="labels is a file: remove it"):
        write_labels(tmp_path, SETTINGS, seed=0)
    (tmp_path / "labels").unlink()
    (tmp_path / "events.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DamagedArtifact, match=r"events\.parquet: cannot be read"):
        write_labels(tmp_path, SETTINGS, seed=0)
    assert list(tmp_path.glob(".labels-*")) == []
    (tmp_path / "events.parquet").unlink()
    write_labels(tmp_path, SETTINGS, seed=0)
    (tmp_path / "labels" / "labels.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"labels\.json"):
        load_labels(tmp_path)


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


def test_labelling_loads_no_pandas(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    code = (
        "import sys; from pathlib import Path; from honeyguide.config import Labels; "
        "from honeyguide.data.labels.files import write_labels; "
        "write_labels(Path(sys.argv[1]), Labels(window_days=7), seed=0); "
        "assert not {'pandas', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
