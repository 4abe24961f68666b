from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.labels.ads import NO_TIME, AdResponses, ad_responses
from honeyguide.errors import InvalidInput, NotReady
from tests.label_tables import DAY_US, store

Touch = dict[str, Any]


def touch(kind: str, user: str = "u", time: float | None = 0, campaign: str = "c", **more: Any) -> Touch:
    return {"kind": kind, "user_id": user, "campaign_id": campaign, "time": time, **more}


def responses_of(folder: Path, touches: list[Touch], window_days: float = 7) -> AdResponses:
    rows = [{"touch_id": f"t{n:03}", **row} for n, row in enumerate(touches)]
    return ad_responses(store(folder, "touches", rows), window_days=window_days)


def told(found: AdResponses) -> dict[tuple[str, str], tuple[Any, ...]]:
    columns = (found.treated, found.visited, found.clicked, found.redeemed, found.value)
    names = [(found.campaigns[c], found.users[u]) for c, u in zip(found.campaign, found.user, strict=True)]
    return dict(zip(names, zip(*(column.tolist() for column in columns), strict=True), strict=True))


def test_everybody_it_was_sent_to_and_every_control_is_one_example(tmp_path: Path) -> None:
    touches = [
        touch("sent", "a", 1, propensity=0.6),
        touch("visit", "a", 2),
        touch("redeemed", "a", 3, value=20.0),
        touch("redeemed", "a", 4, value=5.5),
        touch("withheld", "b", 1, propensity=0.4),
        touch("redeemed", "b", 2, value=7.0),
        touch("sent", "d", 1),
        touch("click", "d", 1, value=99.0),  # what a click is worth is nobody's revenue
        touch("sent", "a", 1, campaign="other"),
        touch("redeemed", "x", 1),
    ]
    found = responses_of(tmp_path, touches)
    assert told(found) == {
        ("c", "a"): (True, True, False, True, 25.5),
        ("c", "b"): (False, False, False, True, 7.0),
        ("c", "d"): (True, False, True, False, 0.0),
        ("other", "a"): (True, False, False, False, 0.0),
    }
    np.testing.assert_array_equal(found.propensity, [0.6, 0.4, np.nan, np.nan])
    assert (found.time_us // DAY_US).tolist() == [1, 1, 1, 1]
    assert (found.contradictory, found.unassigned) == (0, 1)


@pytest.mark.parametrize(
    ("sent", "answered", "counts"),
    [
        (1, 1, True),
        (1, 8, True),
        (1, 8.001, False),
        (1, 0.999, False),
        (None, 50, True),
        (1, None, True),
        (None, None, True),
    ],
)
def test_an_answer_counts_within_the_window_and_where_no_time_says_otherwise(
    tmp_path: Path, sent: float | None, answered: float | None, counts: bool
) -> None:
    found = responses_of(tmp_path, [touch("sent", time=sent), touch("redeemed", time=answered, value=3.0)])
    assert told(found) == {("c", "u"): (True, False, False, counts, 3.0 if counts else 0.0)}
    assert found.time_us.tolist() == [NO_TIME if sent is None else sent * DAY_US]


def test_what_was_sent_and_withheld_is_left_out_and_counted(tmp_path: Path) -> None:
    found = responses_of(tmp_path, [touch("sent"), touch("withheld"), touch("redeemed"), touch("sent", "v")])
    assert told(found) == {("c", "v"): (True, False, False, False, 0.0)}
    assert (found.contradictory, found.unassigned) == (1, 0)


def test_what_contradicts_it_when_the_window_is_over_comes_too_late(tmp_path: Path) -> None:
    rows = [
        touch("sent", "a", 1),
        touch("withheld", "a", 8),
        touch("withheld", "b", 1, propensity=0.3),
        touch("sent", "b", 8.001, propensity=0.9),
    ]
    found = responses_of(tmp_path, [*rows, touch("redeemed", "b", 8.5)])
    assert told(found) == {("c", "b"): (False, False, False, False, 0.0)}
    assert (found.contradictory, found.propensity.tolist()) == (1, [0.3])


def test_the_first_of_several_sendings_counts(tmp_path: Path) -> None:
    sent = [touch("sent", time=day, propensity=share) for day, share in ((9, 0.9), (2, 0.2), (5, 0.5))]
    found = responses_of(tmp_path, [*sent, touch("redeemed", time=10)])
    assert (found.time_us.tolist(), found.propensity.tolist()) == ([2 * DAY_US], [0.2])
    assert told(found) == {("c", "u"): (True, False, False, False, 0.0)}


def test_an_example_whose_window_is_open_can_be_left_out(tmp_path: Path) -> None:
    found = responses_of(tmp_path, [touch("sent", "a", 1), touch("sent", "b", 4), touch("sent", "d", None)])
    assert list(told(found.with_full_window(8 * DAY_US, 7))) == [("c", "a"), ("c", "d")]
    assert list(told(found.with_full_window(8 * DAY_US - 1, 7))) == [("c", "d")]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="honeyguide import"):
        ad_responses(tmp_path / "touches.parquet", window_days=7)
    with pytest.raises(InvalidInput, match="above 0 days"):
        responses_of(tmp_path, [touch("sent")], window_days=0)
    assert len(responses_of(tmp_path, [])) == 0


touches = st.lists(
    st.builds(
        touch,
        st.sampled_from(["sent", "withheld", "visit", "click", "redeemed"]),
        st.sampled_from(["u", "v"]),
        st.one_of(st.none(), st.integers(0, 12)),
        st.sampled_from(["c", "d"]),
        value=st.one_of(st.none(), st.sampled_from([-1.5, 0.25, 8.0])),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=40)
@given(touches)
def test_responses_are_what_a_plain_loop_finds(rows: list[Touch]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = responses_of(Path(folder), rows)
    wanted: dict[tuple[str, str], tuple[Any, ...]] = {}
    contradictory = unassigned = 0
    for pair in sorted({(row["campaign_id"], row["user_id"]) for row in rows}):
        mine = [row for row in rows if (row["campaign_id"], row["user_id"]) == pair]
        decided = [row for row in mine if row["kind"] in ("sent", "withheld")]
        answers = [row for row in mine if row["kind"] not in ("sent", "withheld")]
        start = min((row["time"] for row in decided if row["time"] is not None), default=None)
        how = {row["kind"] for row in decided if row["time"] is None or row["time"] <= (start or 0) + 7}
        if len(how) != 1:
            contradictory += len(how) == 2
            unassigned += len(answers) if not how else 0
            continue
        within = [
            row
            for row in answers
            if start is None or row["time"] is None or start <= row["time"] <= start + 7
        ]
        did = {row["kind"] for row in within}
        value = sum(row["value"] or 0.0 for row in within if row["kind"] == "redeemed")
        wanted[pair] = (how == {"sent"}, "visit" in did, "click" in did, "redeemed" in did, value)
    assert told(found) == wanted
    assert (found.contradictory, found.unassigned) == (contradictory, unassigned)
    columns = (found.campaign, found.user, found.treated, found.time_us, found.value)
    assert [column.dtype.name for column in columns] == ["int32", "int32", "bool", "int64", "float64"]
