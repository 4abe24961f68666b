"""Decision-service JSON: what was shown, with which probability, and what came of it."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data import sift
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.errors import HoneyguideError, InvalidFile
from honeyguide.export.shop import export_shop
from tests import export_fixture
from tests.test_data_sift import rows_of
from tests.test_export_dsjson import vw

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Line = dict[str, Any]


def action(name: str, *features: dict[str, Any]) -> Line:
    """An action as Personalizer writes it."""
    return {"_tag": name, "i": {"constant": 1, "id": name}, "j": list(features)}


ACTIONS = [
    action("pasta", {"taste": "salty", "spice": "medium"}, {"calories": 520}),
    action("soup", {"title": "Miso soup", "taste": "umami"}),
    action("salad"),
]
CONTEXT = {"FromUrl": [{"daytime": "noon"}, {"user_id": "u1", "device": "phone"}], "_multi": ACTIONS}
DECISION: Line = {
    "_label_cost": -1.5,
    "_label_probability": 0.8,
    "_label_Action": 2,
    "_labelIndex": 1,
    "o": [{"v": 1.5, "EventId": "e1", "ActionTaken": False}],
    "Timestamp": "2021-02-04T16:31:29.2460000Z",
    "Version": "1",
    "EventId": "e1",
    "a": [2, 1, 3],
    "c": CONTEXT,
    "p": [0.8, 0.1, 0.1],
    "VWState": {"m": "0f/1a"},
    "_original_label_cost": -1.5,
}
PAGE: Line = {
    "Timestamp": "2021-04-26T17:23:28.1726275",
    "Version": "1",
    "EventId": "e2",
    "c": {**CONTEXT, "_slots": [{"_id": "main"}, {"_id": "side"}, {"_id": "foot"}]},
    "_outcomes": [
        {"_label_cost": 0.0, "_id": "main", "_a": [2, 0, 1], "_p": [0.5, 0.25, 0.25], "_o": []},
        {"_label_cost": -3, "_id": "side", "_a": [0, 1], "_p": [0.4, 0.6], "_o": [{"v": "purchase"}]},
        {"_label_cost": -1, "_id": "foot", "_a": [1], "_p": [1], "_o": [{"v": 1}]},
    ],
    "_ba": [1, 2, 3],
    "VWState": {"m": "N/A"},
}
DANGLING = [
    {"RewardValue": 1.0, "EnqueuedTimeUtc": "2018-01-03T20:12:20.028Z", "EventId": "e9",
     "Observations": [{"v": 1.0, "EventId": "e9", "ActionId": None}]},
    {"Timestamp": "2021-02-04T16:31:29.2460000Z", "ActionTaken": True, "EventId": "e9"},
]  # fmt: skip


def but(line: Line, *without: str, **changed: Any) -> Line:
    """The line with some members left out and others changed."""
    return {key: value for key, value in {**line, **changed}.items() if key not in without}


def written(folder: Path, lines: Iterable[Line | str]) -> Path:
    path = folder / "log.json"
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8", errors="surrogatepass")
    return path


def imported(folder: Path, *lines: Line | str, **options: Any) -> ImportReport:
    folder.mkdir(exist_ok=True)
    return import_files(folder / "data", [written(folder, lines)], now=NOW, **options)


def events(folder: Path) -> list[Line]:
    return sorted(rows_of(folder / "data", "events"), key=lambda row: str(row["event_id"]))


def items(folder: Path) -> dict[str, Line]:
    return {row["item_id"]: row for row in rows_of(folder / "data", "items")}


def test_a_decision_is_an_impression_its_reward_a_click_and_its_actions_items(tmp_path: Path) -> None:
    report = imported(tmp_path, DECISION, *DANGLING)
    impression, reward = events(tmp_path)
    both = {
        "time": "2021-02-04 16:31:29.246+00",
        "user_id": "u1",
        "item_id": "soup",
        "decision_id": "e1",
        "position": 0,
    }
    assert impression == {**both, "event_id": "e1", "kind": "impression", "propensity": 0.8}
    assert reward == {**both, "event_id": "e1:reward", "kind": "click", "value": 1.5}
    found = items(tmp_path)
    assert {item_id: item["title"] for item_id, item in found.items()} == {
        "pasta": "pasta",
        "soup": "Miso soup",
        "salad": "salad",
    }
    assert json.loads(found["pasta"]["attributes"]) == {"taste": "salty", "spice": "medium", "calories": 520}
    assert "attributes" not in found["salad"]
    assert (report.events.kept, report.items.kept, report.problems) == (2, 3, ())
    assert any("click at the time of its decision" in note for note in report.notes)
    assert any("2 rows" in note and "passed over" in note for note in report.notes)


def test_every_slot_of_a_page_is_an_impression_at_its_place(tmp_path: Path) -> None:
    imported(tmp_path, PAGE)
    rows = events(tmp_path)
    shown = [row for row in rows if row["kind"] == "impression"]
    assert [(row["item_id"], row["position"], row["propensity"]) for row in shown] == [
        ("salad", 0, 0.5),
        ("pasta", 1, 0.4),
        ("soup", 2, 1.0),
    ]
    rewarded = [row for row in rows if row["kind"] != "impression"]
    assert [(row["kind"], row["item_id"], row["position"], row["value"]) for row in rewarded] == [
        ("purchase", "pasta", 1, 3.0),
        ("click", "soup", 2, 1.0),
    ]
    assert {(row["decision_id"], row["user_id"], row["time"]) for row in rows} == {
        ("e2", "u1", "2021-04-26 17:23:28.172627+00")
    }


def test_importing_again_adds_nothing_whether_lines_have_an_id_or_not(tmp_path: Path) -> None:
    lines = (DECISION, PAGE, but(DECISION, "EventId"), but(DECISION, "EventId"))
    first = imported(tmp_path, *lines)
    assert (first.events.new, first.events.quarantined) == (2 + 5 + 2 + 2, 0)
    again = imported(tmp_path, *lines, format="dsjson")
    assert (again.events.new, again.items.new, again.events.kept) == (0, 0, 11)


def test_a_line_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    report = imported(tmp_path, DECISION, DECISION)
    assert [(problem.reason, problem.rows, problem.row) for problem in report.problems] == [
        ("duplicate_event_id", 2, 2)
    ]
    assert report.events.kept == 2


REWARDS: list[tuple[object, object, tuple[str, float] | None]] = [
    (-2, [{"v": 2}], ("click", 2.0)),
    ("-0.25", None, ("click", 0.25)),
    (-1, [{"v": None}, {"v": "cart"}, {"v": "purchase"}], ("cart", 1.0)),
    (-1, [{"v": {"clicked": True}}, 7, "view"], ("click", 1.0)),
    (-1, "purchase", ("click", 1.0)),
    (0, [{"v": "click"}], None),
    (-0.0, None, None),
    (1.5, [{"v": -1.5}], None),
    (None, None, None),
    ("NaN", None, None),
]


def test_only_a_positive_reward_is_an_event_of_the_kind_that_its_outcome_names(tmp_path: Path) -> None:
    lines = [
        but(DECISION, EventId=str(n), _label_cost=cost, o=outcomes)
        for n, (cost, outcomes, _) in enumerate(REWARDS)
    ]
    report = imported(tmp_path, *lines)
    rewards = {int(row["decision_id"]): row for row in events(tmp_path) if row["kind"] != "impression"}
    assert {n: (row["kind"], row["value"]) for n, row in rewards.items()} == {
        n: expected for n, (_, _, expected) in enumerate(REWARDS) if expected
    }
    assert (report.problems, report.events.kept) == ((), 15)


def test_what_was_shown_stands_in_the_labels_or_first_among_the_ranked(tmp_path: Path) -> None:
    ranked = but(DECISION, "_labelIndex", "_label_Action", "_label_probability", "_label_cost")
    lines = [
        (but(DECISION, "_label_Action"), ("soup", 0.8)),
        (but(DECISION, "_labelIndex", _label_Action=3), ("salad", 0.8)),
        (but(DECISION, "a", "p"), ("soup", 0.8)),
        (but(ranked, a=[3, 1, 2]), ("salad", 0.8)),
        (but(ranked, a=[0, 2, 1]), ("pasta", 0.8)),
        (but(DECISION, "_label_probability"), ("soup", None)),
    ]
    imported(tmp_path, *(but(line, EventId=str(n)) for n, (line, _) in enumerate(lines)))
    shown = [row for row in events(tmp_path) if row["kind"] == "impression"]
    assert [(row["item_id"], row.get("propensity")) for row in shown] == [expected for _, expected in lines]


NO_DECISIONS = [
    *DANGLING,
    but(DECISION, _skipLearn=True),
    but(DECISION, _deferred=True, DeferredAction=True),
    but(DECISION, "_labelIndex", "_label_Action", "a"),
    but(DECISION, "_labelIndex", "_label_Action", a=[]),
    but(DECISION, "c"),
    but(DECISION, c=None),
    but(PAGE, _outcomes=[]),
    but(PAGE, c={"_multi": [{"_slot_id": 0, "f": 1}, {"_slot_id": 1, "f": 2}], "_slots": [{}, {}]}),
    {
        "Timestamp": "2021-02-04T16:31:29Z",
        "_label_ca": {"action": 1.5, "cost": 0, "pdf_value": 1},
        "c": {"x": 1},
    },
]


def test_lines_that_are_no_decision_or_showed_nothing_are_passed_over(tmp_path: Path) -> None:
    report = imported(tmp_path, *NO_DECISIONS, but(DECISION, EventId="last"))
    assert {row["decision_id"] for row in events(tmp_path)} == {"last"}
    assert report.problems == ()
    assert any("11 rows tell nothing of events and were passed over" in note for note in report.notes)


DEFECTS: list[tuple[Line | str, str, tuple[str, ...]]] = [
    (but(DECISION, _label_probability=0), "bad_number", ("click",)),
    (but(DECISION, _label_probability="likely"), "bad_number", ("click",)),
    (but(DECISION, _label_probability=1.2), "bad_number", ("click",)),
    (but(DECISION, _label_cost="dear"), "bad_number", ("impression",)),
    (but(DECISION, _label_cost="-inf"), "not_finite", ("impression",)),
    (but(DECISION, "Timestamp"), "missing_value", ()),
    (but(DECISION, Timestamp="yesterday"), "time_unparsable", ()),
    (but(DECISION, Timestamp="1969-02-04T16:31:29Z"), "time_impossible", ()),
    (but(DECISION, _labelIndex=7), "missing_value", ()),
    (but(DECISION, _labelIndex=-1), "missing_value", ()),
    (but(DECISION, "_label_Action", _labelIndex="second"), "missing_value", ()),
    (but(DECISION, c="text"), "missing_value", ()),
    (but(DECISION, c={"_multi": "none"}), "missing_value", ()),
    (but(DECISION, c={"_multi": [{}, {}]}), "missing_value", ()),
    (but(DECISION, c={"_multi": [action("x"), action("y" * 257)]}), "field_too_long", ()),
    (but(DECISION, c={"user": "y" * 257, "_multi": ACTIONS}), "field_too_long", ()),
    ('{"_label_cost": -1, "c": {', "malformed_row", ()),
    ('[{"checkpoint": 7}]', "malformed_row", ()),
]


def test_a_bad_line_is_put_aside_with_its_reason_and_costs_only_itself(tmp_path: Path) -> None:
    bad = [
        but(line, EventId=f"bad{n}") if isinstance(line, dict) else line
        for n, (line, _, _) in enumerate(DEFECTS)
    ]
    report = imported(tmp_path, DECISION, *bad, PAGE)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == [
        (n, reason) for n, (_, reason, _) in enumerate(DEFECTS, start=2)
    ]
    kept = [(row["decision_id"], row["kind"]) for row in events(tmp_path)]
    assert sorted(row for row in kept if row[0].startswith("bad")) == sorted(
        (f"bad{n}", kind) for n, (_, _, kinds) in enumerate(DEFECTS) for kind in kinds
    )
    assert len([row for row in kept if row[0] in ("e1", "e2")]) == 2 + 5


def test_a_slot_of_a_page_that_is_bad_costs_only_itself(tmp_path: Path) -> None:
    slots = [7, None, {"_a": "none", "_p": [1]}, *PAGE["_outcomes"][1:]]
    report = imported(tmp_path, but(PAGE, _outcomes=slots))
    shown = [(row["item_id"], row["position"]) for row in events(tmp_path) if row["kind"] == "impression"]
    assert shown == [("pasta", 3), ("soup", 4)]
    assert [(problem.reason, problem.rows) for problem in report.problems] == [("missing_value", 3)]


def test_the_context_names_the_user_or_the_decision_has_one_of_its_own(tmp_path: Path) -> None:
    contexts: list[tuple[Line, str]] = [
        ({"user": "ann"}, "ann"),
        ({"user": {"user_id": 7, "city": "Bonn"}}, "7"),
        ({"User": {"_id": "ann", "_age": 0}}, "ann"),
        ({"FromUrl": [{"daytime": "noon"}, {"userId": "ann"}]}, "ann"),
        ({"FromUrl": [{"user": {"profile": "anonymous"}}]}, "unknown-4"),
        ({"user": "", "_userId": "ann"}, "ann"),
        ({"Geo": {"country": "NL"}}, "unknown-6"),
        ({}, "unknown-7"),
    ]
    lines = (
        but(DECISION, EventId=str(n), c={**context, "_multi": ACTIONS})
        for n, (context, _) in enumerate(contexts)
    )
    imported(tmp_path, *lines)
    assert {(int(row["decision_id"]), row["user_id"]) for row in events(tmp_path)} == {
        (n, user_id) for n, (_, user_id) in enumerate(contexts)
    }


def test_an_action_names_its_item(tmp_path: Path) -> None:
    actions: list[tuple[Line, str, str]] = [
        ({"_tag": "a", "id": "b"}, "a", "a"),
        ({"_tag": "a2", "item": {"id": "a2"}, "f": [0.5, 1]}, "a2", "a2"),
        ({"i": {"constant": 1, "id": 12}}, "12", "12"),
        ({"id": "b", "name": "Bread", "price": 3}, "b", "Bread"),
        ({"_tag": "", "j": [{"id": "c"}, {"_title": "Cake"}]}, "c", "Cake"),
        ({"_tag": {"x": 1}, "item_id": "d", "title": ["no"], "j": 5}, "d", "d"),
    ]
    lines = [
        but(DECISION, EventId=str(n), _label_cost=0, c={"_multi": [ACTIONS[0], shown]})
        for n, (shown, _, _) in enumerate(actions)
    ]
    imported(tmp_path, *lines)
    assert [row["item_id"] for row in events(tmp_path)] == [item_id for _, item_id, _ in actions]
    titles = {item_id: item["title"] for item_id, item in items(tmp_path).items()}
    assert titles == {"pasta": "pasta"} | {item_id: title for _, item_id, title in actions}


def test_actions_without_a_name_are_one_item_where_their_features_are_the_same(tmp_path: Path) -> None:
    red, blue = {"Action": {"color=red": 1}}, {"Action": {"color=blue": 1}}
    lines = [
        but(DECISION, EventId="e1", _labelIndex=0, c={"user": "u", "_multi": [red, blue]}),
        but(DECISION, EventId="e2", _labelIndex=1, c={"user": "v", "_multi": [blue, red]}),
    ]
    report = imported(tmp_path, *lines)
    assert report.items.kept == 2
    (item_id,) = {row["item_id"] for row in events(tmp_path)}
    assert re.fullmatch("action-[0-9a-f]{32}", item_id)
    assert json.loads(items(tmp_path)[item_id]["attributes"]) == red


def test_a_catalogue_stays_as_it_is(tmp_path: Path) -> None:
    catalogue = tmp_path / "items.csv"
    catalogue.write_text("item_id,title\nsoup,Tomato soup\n")
    import_files(tmp_path / "data", [catalogue, written(tmp_path, [DECISION])], now=NOW)
    assert items(tmp_path)["soup"] == {"item_id": "soup", "title": "Tomato soup"}
    assert len(items(tmp_path)) == 3


def test_an_item_of_which_too_much_is_known_is_kept_without_it(tmp_path: Path) -> None:
    imported(
        tmp_path,
        but(DECISION, c={"_multi": [ACTIONS[0], {"_tag": "big", "name": "n" * 500, "x": "x" * 100_000}]}),
    )
    assert items(tmp_path)["big"] == {"item_id": "big", "title": "n" * 300}


def test_lines_that_were_thinned_out_are_told(tmp_path: Path) -> None:
    report = imported(tmp_path, but(DECISION, pdrop=0.5), PAGE)
    assert any("pdrop" in note for note in report.notes)
    assert (report.events.kept, events(tmp_path)[0]["propensity"]) == (7, 0.8)
    assert not any("pdrop" in note for note in imported(tmp_path / "whole", DECISION).notes)


def test_a_page_that_was_exported_comes_back_with_its_places_and_propensities(tmp_path: Path) -> None:
    shop = export_fixture.make_shop(tmp_path)
    decisions = export_fixture.log_pages(shop, 15, k=3, policy=export_fixture.FixedOdds())
    out = export_shop(shop, "dsjson", tmp_path / "log.dsjson", now=export_fixture.NOW).out
    import_files(tmp_path / "data", [out], now=NOW)
    shown = [row for row in events(tmp_path) if row["kind"] == "impression"]
    found = {
        (row["decision_id"], row["user_id"], row["position"]): (row["item_id"], row["propensity"])
        for row in shown
    }
    assert len(shown) == 45
    assert found == {
        (decision.decision_id, decision.user_id, slot): (item_id, float(decision.propensities[slot]))
        for decision in decisions
        for slot, item_id in enumerate(decision.item_ids)
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"_label": "1:-1:0.5", "_multi": ACTIONS}, "not a known format"),
        (but(DECISION, "c"), "has no column 'c'"),
        (but(DECISION, "Timestamp"), "has no column 'timestamp'"),
        (but(DECISION, "EventId", "_label_probability"), "has no column 'eventid'"),
    ],
)
def test_what_is_almost_such_a_line_is_refused_with_what_it_lacks(
    line: Line, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidFile, match=said):
        imported(tmp_path, line, line, format="dsjson")


def test_long_lines_are_taken_apart_in_parts_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [but(DECISION, EventId=f"e{n}", _label_cost="x" if n % 10 == 0 else -1) for n in range(20)]
    whole = imported(tmp_path / "whole", *lines)
    monkeypatch.setattr(sift, "_PART_BYTES", 6000)
    parts = imported(tmp_path / "parts", *lines)
    assert events(tmp_path / "parts") == events(tmp_path / "whole")
    assert (parts.tables, [problem.rows for problem in parts.problems]) == (whole.tables, [2])


@pytest.mark.parametrize("deep", ['{"a":', "["])
def test_a_line_may_be_nested_however_deep(deep: str, tmp_path: Path) -> None:
    end = "}" if deep.endswith(":") else "]"
    nested = deep * 100_000 + "1" + end * 100_000
    lines = [json.dumps(but(DECISION, EventId=name, c="HERE")) for name in ("e1", "e2", "e3")]
    texts = (
        f'{{"_multi": [{{}}, {nested}]}}',
        nested,
        f'{{"_multi": [{{}}, {{"id": "x", "j": [{nested}]}}]}}',
    )
    imported(
        tmp_path,
        *(line.replace('"HERE"', text) for line, text in zip(lines, texts, strict=True)),
        but(DECISION, EventId="e4"),
    )
    assert {"e4", "e4:reward"} <= {row["event_id"] for row in events(tmp_path)}


VW_LINES = [
    DECISION,
    but(DECISION, EventId="e3", _label_cost=0),
    but(DECISION, "_label_cost", "_label_probability", "_label_Action", "_labelIndex", "o", EventId="e4"),
    but(DECISION, EventId="e5", _skipLearn=True),
    but(DECISION, EventId="e6", pdrop=0.5),
    but(DECISION, EventId="e7", c={"_multi": [{"A": {"f": 1}}, {"A": {"f": 2}}, {"B": {"g": "x"}}]}),
    but(DECISION, EventId="e8", _label_cost="NaN"),
    but(DECISION, "EventId", "VWState", "Version", "o", "p"),
    but(DECISION, "_labelIndex", "_label_Action", "_label_probability", "_label_cost", EventId="e9", a=[]),
    *DANGLING,
]


@pytest.mark.parametrize(
    ("lines", "kind", "decisions"),
    [(VW_LINES, "cb", 7), ([PAGE, but(PAGE, EventId="e3")], "ccb", 2)],
)
def test_what_vowpal_wabbit_reads_is_read(
    lines: Sequence[Line], kind: str, decisions: int, tmp_path: Path
) -> None:
    report = imported(tmp_path, *lines)
    assert len({row["decision_id"] for row in events(tmp_path)}) == decisions
    assert report.problems == ()
    said = vw(f"--{kind}_explore_adf --dsjson -d {tmp_path / 'log.json'}")
    assert f"number of examples = {decisions}\n" in said + "\n"


NASTY: list[Any] = [
    None, True, -1, 0, 1e308, 10**25, "", " ", "x", "\x00", "\ud800", "NaN", "-", "1e400", "'", '"', "[", "{}", "[1,",
    "y" * 300, [], {}, [[]], [None], {"_multi": {}}, {"_multi": [None, 1]}, [{"v": [1]}], [-1], [2**40], {"": 1},
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, part in inner for path in [(key,), *((key, *rest) for rest in places(part))]]


@st.composite
def mutated(draw: st.DrawFn) -> Line:
    line: Line = copy.deepcopy(draw(st.sampled_from([DECISION, PAGE, but(DECISION, pdrop=0.1)])))
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(places(line)))
        at: Any = line
        for key in above:
            at = at[key]
        at[last] = copy.deepcopy(draw(st.sampled_from(NASTY)))
    return line


def check_laws(lines: list[Line | str]) -> None:
    """Whatever the lines are: the good ones beside them are kept, and every row is either kept or put aside."""
    good = but(DECISION, EventId="good")
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = imported(Path(folder), good, *lines, but(good, EventId="last"))
        except HoneyguideError as error:
            pytest.fail(f"a bad line cost the whole file: {error}")
        for count in report.tables.values():
            assert count.read == count.kept + count.quarantined
        assert sum(problem.rows for problem in report.problems) == report.events.quarantined
        assert {"good", "good:reward", "last", "last:reward"} <= {
            row["event_id"] for row in events(Path(folder))
        }


patient = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@patient
@given(st.lists(mutated(), min_size=1, max_size=6))
def test_no_change_to_a_line_costs_another_one(lines: list[Line | str]) -> None:
    check_laws(lines)


@pytest.mark.slow
@settings(patient, max_examples=60)
@given(
    st.lists(
        st.one_of(mutated(), st.text(max_size=30).map(lambda text: json.dumps({"c": text}))), max_size=10
    )
)
def test_no_lines_cost_another_one(lines: list[Line | str]) -> None:
    check_laws(lines)
