"""One law per cleaning rule, on rows made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from honeyguide.config import Clean, parse_settings
from honeyguide.data.clean import CleaningReport, RuleCount
from honeyguide.data.cleaning.report import Evidence, SuspectUser
from honeyguide.data.database import database, literal, parquet
from honeyguide.errors import InvalidSettings
from tests.dirty_log import ITEMS, NOW, OFF, Row, at, bought, cleaned, event, item, kept, rows_of, rule, shop


def test_who_has_not_agreed_is_not_learned_from_and_who_was_not_asked_is(tmp_path: Path) -> None:
    data = shop(tmp_path, [event("no", consent=False), event("yes", 5, consent=True), event("unknown", 9)])
    report, left = cleaned(data, replace(OFF, drop_without_consent=True))
    assert (set(left), rows_of(report)) == ({"yes", "unknown"}, {"without_consent": 1})
    assert set(cleaned(data, OFF)[1]) == {"no", "yes", "unknown"}


def test_what_has_not_happened_yet_is_dropped(tmp_path: Path) -> None:
    data = shop(tmp_path, [event("now", time=NOW.isoformat()), event("late", time="2024-06-01T00:00:01Z")])
    report, left = cleaned(data, replace(OFF, drop_future=True))
    assert (set(left), rows_of(report)) == ({"now"}, {"future": 1})


def sent(device: str, delays: list[float], *, off: float = 0.0) -> list[Row]:
    """Events an hour apart by a clock that is `off` seconds ahead, received so many seconds after they happened."""
    return [
        event(f"{device}{nr}", 3600 * nr + off, user_id=device, received_at=at(3600 * nr + delay))
        for nr, delay in enumerate(delays)
    ]


SKEW = replace(OFF, clock_skew_s=300)


def test_a_clock_that_is_always_off_by_the_same_is_set_right(tmp_path: Path) -> None:
    right = [row for name in ("a", "b", "c") for row in sent(name, [60, 60, 60])]
    wrong = [
        *sent("ahead", [60, 60, 60, 90], off=7200),
        *sent("behind", [60, 55, 60], off=-86_400),
        *sent("phone", [60, 9_000, 40_000]),  # it keeps events until there is a network
    ]
    report, left = cleaned(shop(tmp_path, right + wrong), SKEW)
    assert rows_of(report) == {"clock_skew": 7}
    times = {key: row["time"][:19].replace(" ", "T") for key, row in left.items()}
    for name, n in (("a", 3), ("ahead", 4), ("behind", 3), ("phone", 3)):
        assert [times[f"{name}{nr}"] for nr in range(n)] == [at(3600 * nr)[:19] for nr in range(n)]
    worst = rule(report, "clock_skew").evidence.events[0]
    assert (worst.user_id, worst.note) == ("behind", "its clock was 86400 s behind")
    assert set(cleaned(shop(tmp_path / "off", wrong), OFF)[1]) == {row["event_id"] for row in wrong}


def test_the_time_that_a_pipeline_takes_is_no_fault_of_a_clock(tmp_path: Path) -> None:
    rows = [row for name in ("a", "b", "c") for row in sent(name, [3600, 3600, 3601])]
    report, left = cleaned(shop(tmp_path, rows), SKEW)
    assert (len(left), rows_of(report)) == (9, {})


def test_what_is_later_than_its_receipt_happened_when_it_was_received(tmp_path: Path) -> None:
    rows = [*sent("a", [60, 60, 60]), event("odd", 9_000, user_id="b", received_at=at(10))]
    report, left = cleaned(shop(tmp_path, rows), SKEW)
    assert rows_of(report) == {"after_receipt": 1}
    assert left["odd"]["time"][:19].replace(" ", "T") == at(10)[:19]


def test_what_an_anonymous_visitor_did_goes_to_the_user_they_turned_out_to_be(tmp_path: Path) -> None:
    events = [
        event("a", user_id="cookie-1"),
        event("b", 60, user_id="ann", anonymous_id="cookie-1"),
        event("c", 90, user_id="cookie-1", anonymous_id="cookie-1"),
        event("d", user_id="cookie-2"),
        event("e", user_id="cookie-3"),
    ]
    data = shop(tmp_path, events, identities=[{"anonymous_id": "cookie-2", "user_id": "bob"}])
    report, left = cleaned(data, replace(OFF, merge_identities=True))
    assert {key: row["user_id"] for key, row in left.items()} == {
        "a": "ann", "b": "ann", "c": "ann", "d": "bob", "e": "cookie-3",
    }  # fmt: skip
    assert left["a"]["anonymous_id"] == "cookie-1"
    assert rows_of(report) == {"identity": 3}
    assert [(t.before, t.after) for t in rule(report, "identity").evidence.texts] == [
        ("cookie-1", "ann"), ("cookie-2", "bob"),
    ]  # fmt: skip


def test_a_shared_device_gives_an_event_to_who_was_known_on_it_last_or_else_next(tmp_path: Path) -> None:
    events = [
        event("before", 0, user_id="tablet"),
        event("ann", 10, user_id="ann", anonymous_id="tablet"),
        event("between", 20, user_id="tablet"),
        event("bob", 30, user_id="bob", anonymous_id="tablet"),
        event("after", 40, user_id="tablet"),
    ]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, merge_identities=True))
    assert [left[key]["user_id"] for key in ("before", "between", "after")] == ["ann", "ann", "bob"]
    assert rows_of(report) == {"shared_device": 3}
    assert rule(report, "shared_device").effect == "mended"


def test_a_user_behind_some_device_is_never_taken_for_a_device(tmp_path: Path) -> None:
    events = [event("a", user_id="A"), event("b", user_id="B"), event("c", user_id="C")]
    chain = [{"anonymous_id": "A", "user_id": "B"}, {"anonymous_id": "B", "user_id": "C"}]
    _, left = cleaned(shop(tmp_path, events, identities=chain), replace(OFF, merge_identities=True))
    assert {key: row["user_id"] for key, row in left.items()} == {"a": "B", "b": "B", "c": "C"}


TWINS = [
    event("a", 0),
    event("b", 0),
    event("c", 0.5),
    event("d", 1.4),
    event("e", 9),
    event("other item", 0, item_id="i2"),
    event("other user", 0, user_id="v"),
    event("other slot", 0, position=3),
]


def test_of_equal_events_the_first_stays_and_of_a_row_of_near_ones_too(tmp_path: Path) -> None:
    data = shop(tmp_path, TWINS)
    others = {"e", "other item", "other user", "other slot"}
    report, left = cleaned(data, replace(OFF, drop_duplicates=True))
    assert (set(left), rows_of(report)) == ({"a", "c", "d"} | others, {"duplicate": 1})
    report, left = cleaned(data, replace(OFF, duplicate_window_s=1.0))
    assert (set(left), rows_of(report)) == ({"a", "b"} | others, {"near_duplicate": 2})
    report, left = cleaned(data, replace(OFF, drop_duplicates=True, duplicate_window_s=1.0))
    assert (set(left), rows_of(report)) == ({"a"} | others, {"duplicate": 1, "near_duplicate": 2})
    assert [shown.note for shown in rule(report, "duplicate").evidence.events] == ["the same as a"]
    assert rule(report, "near_duplicate").evidence.events[0].note == "0.500 s after b"


def every(
    seconds: float, n: int, user: str, *, wobble: float = 0.0, items: int = 1, kind: str = "view"
) -> list[Row]:
    """`n` events with one pause; with `wobble` the pauses double and double again in turn."""
    clock, rows = 0.0, []
    for nr in range(n):
        rows.append(event(f"{user}{nr}", clock, user_id=user, item_id=f"i{1 + nr % items}", kind=kind))
        clock += seconds * 2.0 ** (wobble * (nr % 5))
    return rows


SIGNS = replace(OFF, bot_events_per_day=400, bot_items_per_day=210, bot_dwell_s=1.5, bot_entropy_bits=1.0)
MANY = tuple(item(f"i{nr}") for nr in range(1, 251))


@pytest.mark.parametrize(
    ("events", "convicted"),
    [
        (every(10, 400, "u", wobble=1.0), False),
        (every(10, 401, "u", wobble=1.0), True),  # fast
        (every(60, 250, "u", items=250, wobble=1.0), False),  # broad
        (every(60, 250, "u"), False),  # regular
        (every(0.2, 250, "u", wobble=1.0), False),  # hasty
        (every(60, 250, "u", items=250), True),  # broad and regular
        (every(0.2, 250, "u", items=250, wobble=1.0), True),  # broad and hasty
        (every(1.0, 250, "u"), True),  # hasty and regular
        (every(1.0, 500, "u", items=250, kind="impression"), False),  # being shown something is no activity
        (every(0.0, 300, "u", items=250, kind="purchase"), False),  # a big basket at one moment is only broad
    ],
)
def test_one_sign_of_rate_or_two_of_the_others_make_a_bot(
    tmp_path: Path, events: list[Row], convicted: bool
) -> None:
    human = every(45, 40, "human", wobble=1.0)
    report, left = cleaned(shop(tmp_path, events + human, MANY), SIGNS)
    assert rows_of(report) == ({"bot": len(events)} if convicted else {})
    assert {row["user_id"] for row in left.values()} == ({"human"} if convicted else {"human", "u"})


def test_a_bot_is_shown_with_the_numbers_that_convicted_it(tmp_path: Path) -> None:
    report, _ = cleaned(shop(tmp_path, every(1.0, 250, "u", items=125), MANY), SIGNS)
    (user,) = rule(report, "bot").evidence.users
    assert user == SuspectUser("u", 250, 125, 1.0, 0.0)


@pytest.mark.parametrize(
    ("events", "gone", "counts"),
    [
        ([bought("p", 0, 9), bought("r", 9, -9)], {"p", "r"}, {"refund": 1, "refunded_purchase": 1}),
        ([bought("r", 0, -9), bought("p", 9, 9)], {"r"}, {"unmatched_refund": 1}),
        ([bought("p", 0, 9), bought("r", 0, -9)], {"p", "r"}, {"refund": 1, "refunded_purchase": 1}),
        ([bought("p", 0, 9, item_id="i2"), bought("r", 9, -9)], {"r"}, {"unmatched_refund": 1}),
        ([bought("p", 0, 9, user_id="v"), bought("r", 9, -9)], {"r"}, {"unmatched_refund": 1}),
        # the latest that still stands, unless an earlier one is of the same amount
        (
            [bought("p", 0, 7), bought("q", 5, 8), bought("r", 9, -3), bought("s", 10, -3)],
            {"p", "q", "r", "s"},
            {"refund": 2, "refunded_purchase": 2},
        ),
        (
            [bought("p", 0, 7), bought("q", 5, 8), bought("r", 9, -7)],
            {"p", "r"},
            {"refund": 1, "refunded_purchase": 1},
        ),
        # quantity alone tells a refund as well
        (
            [bought("p", 0, 9, quantity=1), bought("r", 9, 9, quantity=-1)],
            {"p", "r"},
            {"refund": 1, "refunded_purchase": 1},
        ),
    ],
)
def test_a_refund_cancels_the_purchase_it_speaks_of(
    tmp_path: Path, events: list[Row], gone: set[str], counts: dict[str, int]
) -> None:
    report, left = cleaned(shop(tmp_path, events), replace(OFF, cancel_refunds=True))
    assert {row["event_id"] for row in events} - set(left) == gone
    assert rows_of(report) == counts


def test_a_part_that_was_given_back_reduces_what_was_bought(tmp_path: Path) -> None:
    events = [
        bought("p", 0, 30, quantity=3),
        bought("r", 9, -12, quantity=-1),
        bought("s", 19, None, quantity=-1),
    ]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, cancel_refunds=True))
    assert {(row["value"], row["quantity"]) for row in left.values()} == {(9.0, 1.0)}
    assert rows_of(report) == {"refund": 2, "partly_refunded": 1}


def test_a_refund_of_more_goes_on_to_the_purchase_before(tmp_path: Path) -> None:
    events = [
        bought("o", 0, 20, quantity=2),
        bought("p", 5, 10, quantity=1),
        bought("r", 9, -20.5, quantity=-2),
    ]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, cancel_refunds=True))
    assert set(left) == {"o"}
    assert left["o"]["quantity"] == 1
    assert rows_of(report) == {"refund": 1, "refunded_purchase": 1, "partly_refunded": 1}


def test_a_purchase_given_back_bit_by_bit_is_gone_in_the_end(tmp_path: Path) -> None:
    events = [bought("p", 0, 20, quantity=2), *(bought(f"r{n}", 1 + n, -10, quantity=-1) for n in range(2))]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, cancel_refunds=True))
    assert left == {}
    assert rows_of(report) == {"refund": 2, "refunded_purchase": 1}


def test_purchases_worth_nothing_go_and_other_events_of_value_0_stay(tmp_path: Path) -> None:
    events = [bought("gift", 0, 0), bought("paid", 5, 1), bought("unknown", 9, None), event("v", 0, value=0)]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, drop_worthless=True))
    assert (set(left), rows_of(report)) == ({"paid", "unknown", "v"}, {"non_positive_purchase": 1})


def test_a_value_beyond_the_limit_goes(tmp_path: Path) -> None:
    events = [bought("at", 0, 1000), bought("above", 5, 1000.01), bought("none", 9, None)]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, max_value=1000.0))
    assert (set(left), rows_of(report)) == ({"at", "none"}, {"value_outlier": 1})


NORMAL = replace(OFF, price_ratio=10.0, quantity_ratio=10.0, outlier_purchases=5)


def test_a_price_far_above_the_items_own_median_goes_but_what_is_dear_everywhere_stays(
    tmp_path: Path,
) -> None:
    events = [bought(f"p{n}", n, 2.0) for n in range(8)]
    events += [bought("typo", 20, 200), bought("box", 21, 60, quantity=30)]
    events += [bought(f"d{n}", n, 900.0, item_id="i2") for n in range(8)]
    events += [bought(f"r{n}", n, 10.0**n, item_id="i3") for n in range(4)]  # too few to say what is normal
    events += [
        bought(f"y{n}", n, 300.0, currency="JPY") for n in range(8)
    ]  # another currency, another normal
    report, left = cleaned(shop(tmp_path, events), replace(NORMAL, quantity_ratio=0))
    assert {row["event_id"] for row in events} - set(left) == {"typo"}
    assert rows_of(report) == {"price_outlier": 1}
    assert rule(report, "price_outlier").evidence.events[0].note == "200.00 each, where 2.00 is usual"


def test_outliers_that_hide_one_another_are_all_found(tmp_path: Path) -> None:
    """Three of twelve lift the median to where the mildest of them is within the limit."""
    events = [bought(f"p{n}", n, float(1 + (n >= 5))) for n in range(9)]
    events += [bought("x", 20, 19.0), bought("y", 21, 500.0), bought("z", 22, 900.0)]
    report, left = cleaned(shop(tmp_path, events), replace(NORMAL, quantity_ratio=0))
    assert {"x", "y", "z"} & set(left) == set()
    assert rows_of(report) == {"price_outlier": 3}


def test_more_pieces_than_anybody_takes_are_an_outlier(tmp_path: Path) -> None:
    events = [bought(f"p{n}", n, 2.0, quantity=1 + n % 2) for n in range(39)]
    events += [bought("bulk", 90, 50.0, quantity=25), bought("many", 95, 30.0, quantity=20)]
    report, left = cleaned(shop(tmp_path, events), NORMAL)
    assert "bulk" not in left
    assert "many" in left
    assert rows_of(report) == {"quantity_outlier": 1}


def test_items_that_are_not_recommendable_or_say_nothing_go_with_their_events(tmp_path: Path) -> None:
    items = [
        item("i1"),
        item("i2", category="FUEL > Diesel"),
        {"item_id": "i3", "brand": "b", "description": " "},
    ]
    events = [event(name, item_id=name) for name in ("i1", "i2", "i3", "unknown")]
    data = shop(tmp_path, [*events, event("s", kind="search", item_id=None)], items)
    report, left = cleaned(data, replace(OFF, exclude_categories=("fuel",), drop_textless=True))
    assert set(left) == {"i1", "s"}
    assert set(kept(data, "items")) == {"i1"}
    assert rows_of(report) == {"excluded_category": 1, "item_without_text": 1, "item_gone": 3}
    assert rule(report, "excluded_category").table == "items"
    assert (report.items_in, report.items_out) == (3, 1)


def test_events_before_their_item_was_created_are_counted_and_kept(tmp_path: Path) -> None:
    items = [item("i1", created_at="2024-05-03T00:00:00Z"), item("i2", created_at=at(3600)), item("i3")]
    events = [event("early"), event("a bit early", item_id="i2"), event("unknown", item_id="i3")]
    report, left = cleaned(shop(tmp_path, events, items), replace(OFF, before_created_days=1.0))
    assert len(left) == 3
    assert rows_of(report) == {"before_created": 1}
    assert rule(report, "before_created").effect == "counted"
    assert rule(report, "before_created").evidence.events[0].note == "1.6 days before the item was created"


def test_the_core_is_looked_for_until_nothing_falls_out_any_more(tmp_path: Path) -> None:
    pairs = [("u", "i1"), ("u", "i2"), ("v", "i1"), ("v", "i2"), ("w", "i2"), ("w", "i3"), ("x", "i3")]
    events = [event(f"{user}{name}", user_id=user, item_id=name) for user, name in pairs]
    events += [event("shown", user_id="x", item_id="i1", kind="impression")]
    data = shop(tmp_path, events)
    report, left = cleaned(data, replace(OFF, k_core=2))
    assert set(left) == {"ui1", "ui2", "vi1", "vi2"}  # x falls, then i3, then w
    assert rows_of(report) == {"k_core": 4}
    assert len(kept(data, "items")) == len(ITEMS)


def test_a_session_ends_with_a_pause_and_one_that_is_known_stays(tmp_path: Path) -> None:
    minutes = [0, 29, 59, 90, 300]
    events = [event(f"e{m}", 60 * m) for m in minutes] + [event("own", 60, session_id="till 4", item_id="i2")]
    events += [event("other", 60, user_id="v")]
    data = shop(tmp_path, events)
    report, left = cleaned(data, replace(OFF, session_gap_minutes=30))
    sessions = {key: row["session_id"] for key, row in left.items()}
    assert sessions["own"] == "till 4"
    assert sessions["e0"] == sessions["e29"] == sessions["e59"] != sessions["e90"]
    assert len(set(sessions.values())) == 5
    assert rule(report, "session").rows == 6
    assert "session_id" not in cleaned(data, OFF)[1]["e0"]


def test_a_session_keeps_its_id_when_the_log_grows(tmp_path: Path) -> None:
    settings = replace(OFF, session_gap_minutes=30)
    _, before = cleaned(shop(tmp_path / "a", [event("e", 7200)]), settings)
    _, after = cleaned(shop(tmp_path / "b", [event("d", 0), event("e", 7200), event("f", 99999)]), settings)
    assert after["e"]["session_id"] == before["e"]["session_id"]


def test_an_older_file_without_the_new_columns_is_cleaned_as_well(tmp_path: Path) -> None:
    data = shop(tmp_path, [event("a"), event("b", 0.5)])
    few = "event_id, time, user_id, kind, item_id, query, value, session_id, decision_id, position"
    stored = data / "events.parquet"
    with database() as db:
        db.execute(f"CREATE TABLE older AS SELECT {few} FROM {parquet(stored)}")
        db.execute(f"COPY older TO {literal(str(stored))} (FORMAT parquet)")
    report, left = cleaned(data, Clean())
    assert (set(left), rows_of(report)["near_duplicate"]) == ({"a"}, 1)


def test_evidence_survives_being_stored() -> None:
    count = RuleCount("bot", 9, "why", evidence=Evidence(users=(SuspectUser("u", 9, 3, None, 0.5),)))
    report = CleaningReport(9, 0, 1, 1, (count,))
    assert msgspec.json.decode(msgspec.json.encode(report), type=CleaningReport) == report


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("price_ratio", 0.5),
        ("outlier_purchases", 1),
        ("boilerplate_share", 1.5),
        ("k_core", -1),
        ("bot_dwell_s", -1.0),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(key: str, value: float) -> None:
    with pytest.raises(InvalidSettings, match=key):
        parse_settings({"clean": {key: value}})
