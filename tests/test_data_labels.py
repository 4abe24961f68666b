from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.labels.visits import Outcomes, Visits, outcomes, visits
from honeyguide.data.split import split_at
from honeyguide.data.table import EventTable, from_us, to_us
from honeyguide.errors import InvalidInput, UnknownUser
from honeyguide.types import EVENT_KINDS

DAY_US = 86_400 * 1_000_000
GRADES = {"purchase": 1.0, "cart": 0.5, "click": 0.2}
BUY = EVENT_KINDS.index("purchase")

Row = tuple[int, int, int, int]
rows = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(-1, 3), st.sampled_from([0, 2, 3, BUY])),
    max_size=30,
)  # time in days, user, item, kind


def table(entries: list[Row], users: tuple[str, ...] = ("a", "b", "c")) -> EventTable:
    entries = sorted(entries)
    return EventTable(
        users=users,
        user=np.array([row[1] for row in entries], dtype=np.int32),
        item=np.array([row[2] for row in entries], dtype=np.int32),
        time_us=np.array([row[0] * DAY_US for row in entries], dtype=np.int64),
        kind=np.array([row[3] for row in entries], dtype=np.int8),
        value=np.ones(len(entries), dtype=np.float32),
    )


def grade(kind: str) -> float:
    return GRADES.get(kind, 0.0)


def by_hand(
    log: EventTable, visit: int, found: Visits, days: float, history: EventTable
) -> list[tuple[object, ...]]:
    user, start = log.users[found.user[visit]], int(found.time_us[visit])
    end = start + round(days * DAY_US)
    best: dict[int, tuple[float, int]] = {}
    for u, item, time, kind in zip(log.user, log.item, log.time_us, log.kind, strict=True):
        reward = grade(EVENT_KINDS[kind])
        if log.users[u] == user and start < time <= end and item >= 0 and reward > 0:
            known = best.get(int(item), (0.0, 0))
            if reward > known[0]:
                best[int(item)] = (reward, int(time))
    wanted: list[tuple[object, ...]] = []
    for item in sorted(best):
        bought = [
            int(t)
            for part in (log, history)
            for u, i, t, k in zip(part.user, part.item, part.time_us, part.kind, strict=True)
            if part.users[u] == user and i == item and k == BUY
        ]
        wanted.append((item, *best[item], bool(bought) and start < min(bought) <= end))
    return wanted


def of(found: Outcomes, visit: int) -> list[tuple[object, ...]]:
    part = slice(*found.starts[visit : visit + 2])
    columns = (found.item[part], found.reward[part], found.time_us[part], found.discovery[part])
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(deadline=None)
@given(rows, rows, st.sampled_from([1.0, 7.0, 14.0]))
def test_outcomes_are_what_a_plain_loop_finds(entries: list[Row], past: list[Row], days: float) -> None:
    log, history = table(entries), table(past, users=("c", "x", "a"))
    found = visits(log, origin_us=5 * DAY_US)
    result = outcomes(log, found, grade=grade, window_days=days, history=history)
    assert len(result.starts) == len(found) + 1
    for visit in range(len(found)):
        assert of(result, visit) == by_hand(log, visit, found, days, history)


@settings(deadline=None)
@given(rows, rows)
def test_nothing_before_a_visit_is_in_its_outcomes(entries: list[Row], other: list[Row]) -> None:
    log = table(entries)
    found = visits(log, origin_us=0)
    result = outcomes(log, found, grade=grade, window_days=7)
    visit = np.repeat(np.arange(len(found)), np.diff(result.starts))
    age = result.time_us - found.time_us[visit]
    assert ((age > 0) & (age <= 7 * DAY_US)).all()
    if len(found):  # and changing what came before changes no reward
        first = int(found.time_us[-1])
        changed = table([row for row in other if row[0] * DAY_US < first] + [
            row for row in entries if row[0] * DAY_US >= first])  # fmt: skip
        again = outcomes(changed, found.take(np.array([len(found) - 1])), grade=grade, window_days=7)
        assert [row[:3] for row in of(again, 0)] == [row[:3] for row in of(result, len(found) - 1)]


@given(rows, st.sampled_from([1.0, 7.0]))
def test_a_user_has_one_visit_per_period_just_before_its_first_event(entries: list[Row], days: float) -> None:
    found = visits(table(entries), origin_us=10 * DAY_US, period_days=days)
    first: dict[tuple[int, int], int] = {}
    for day, user, _, _ in sorted(entries):
        first.setdefault((user, int((day - 10) // days)), day * DAY_US - 1)
    assert {(u, w): t for u, w, t in zip(found.user, found.week, found.time_us, strict=True)} == first
    assert len(found) == len(first)
    assert (np.diff(found.time_us) >= 0).all()


@given(rows, st.integers(0, 40))
def test_a_full_window_ends_within_the_log(entries: list[Row], end_day: int) -> None:
    found = visits(table(entries), origin_us=0)
    full = found.with_full_window(end_day * DAY_US, 7)
    assert (full.time_us + 7 * DAY_US <= end_day * DAY_US).all()
    assert len(full) == sum(found.time_us + 7 * DAY_US <= end_day * DAY_US)


@given(rows, st.integers(-1, 31))
def test_a_split_loses_nothing_and_leaks_nothing(entries: list[Row], day: int) -> None:
    log, moment = table(entries), from_us(day * DAY_US)
    split = split_at(log, moment)
    assert (split.before.time_us < to_us(moment)).all()
    assert (split.after.time_us >= to_us(moment)).all()
    joined = np.concatenate([split.before.time_us, split.after.time_us])
    assert joined.tolist() == log.time_us.tolist()
    assert split.before.users == split.after.users == log.users


@given(rows)
def test_the_events_of_a_user_are_all_of_them_in_time_order(entries: list[Row]) -> None:
    log = table(entries)
    for user in range(len(log.users)):
        assert log.events_of(user).tolist() == [at for at in range(len(log)) if log.user[at] == user]
    with pytest.raises(UnknownUser):
        log.events_of(3)


@given(rows, rows)
def test_equal_tables_have_equal_versions(entries: list[Row], other: list[Row]) -> None:
    assert (table(entries).version == table(other).version) == (sorted(entries) == sorted(other))


@given(st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2100, 1, 1)))
def test_moments_survive_microseconds(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert from_us(to_us(aware)) == aware


def test_what_makes_no_sense_is_refused() -> None:
    log = table([(1, 0, 0, BUY)])
    with pytest.raises(InvalidInput, match="above 0 days"):
        visits(log, origin_us=0, period_days=0)
    with pytest.raises(InvalidInput, match="above 0 days"):
        visits(log, origin_us=0, period_days=float("inf"))
    with pytest.raises(InvalidInput, match="UTC"):
        log.between(since=datetime(2020, 1, 1))
    late, early = table([(2, 0, 0, BUY)]), log
    user, item, time_us, kind, value = (
        np.concatenate([getattr(late, name), getattr(early, name)])
        for name in ("user", "item", "time_us", "kind", "value")
    )
    with pytest.raises(InvalidInput, match="time order"):
        EventTable(log.users, user, item, time_us, kind, value)
    with pytest.raises(InvalidInput, match="one length"):
        EventTable(log.users, log.user, log.item[:0], log.time_us, log.kind, log.value)
    assert len(log.between(from_us(0) + timedelta(days=2))) == 0
