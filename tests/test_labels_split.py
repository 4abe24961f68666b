from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from honeyguide.data.labels.negatives import Proposal, item_counts, sample_negatives
from honeyguide.data.labels.next_interest import next_interests
from honeyguide.data.labels.rewards import rewards
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.data.split import Parts, leave_one_out, moments_by_share, split_in_three
from honeyguide.data.table import EventTable, from_us, to_us
from honeyguide.errors import InvalidInput
from tests.label_tables import DAY_US, N_ITEMS, Entry, entries, grade, make_table

CLASS_OF = np.array([0, 0, 1, 1, 2], dtype=np.int32)


def rows_of(table: EventTable) -> list[tuple[float, ...]]:
    columns = (table.time_us, table.user, table.item, table.kind, np.nan_to_num(table.value, nan=-1))
    return list(zip(*(column.tolist() for column in columns), strict=True))


def together(parts: Parts) -> list[tuple[float, ...]]:
    return sorted(rows_of(parts.train) + rows_of(parts.validation) + rows_of(parts.test))


@given(entries, st.integers(-1, 31), st.integers(1, 15))
def test_three_parts_lose_nothing_and_lie_one_after_another(rows: list[Entry], day: int, days: int) -> None:
    log, first, second = make_table(rows), from_us(day * DAY_US), from_us((day + days) * DAY_US)
    parts = split_in_three(log, first, second)
    assert together(parts) == sorted(rows_of(log))
    assert (parts.train.time_us < to_us(first)).all()
    assert (parts.validation.time_us >= to_us(first)).all()
    assert (parts.validation.time_us < to_us(second)).all()
    assert (parts.test.time_us >= to_us(second)).all()
    assert parts.train.users == parts.validation.users == parts.test.users == log.users


@settings(deadline=None)
@given(entries, entries, st.integers(0, 31), st.sampled_from([1.0, 7.0]))
def test_no_label_of_a_part_depends_on_what_comes_after_it(
    rows: list[Entry], other: list[Entry], day: int, window: float
) -> None:
    """Whatever happens from the moment on, and whether it is there at all, the labels before it are the same."""
    moment_us = day * DAY_US
    past = [row for row in rows if row[0] < day]
    changed = make_table(past + [row for row in other if row[0] >= day])
    before = split_in_three(make_table(rows), from_us(moment_us), from_us(moment_us + DAY_US)).train
    full = visits(before, origin_us=0).with_full_window(moment_us - 1, window)
    positives = np.flatnonzero(rewards(before, grade=grade) > 0)
    counts = item_counts(before, N_ITEMS)
    for later in (make_table(past), make_table(rows), changed):
        mine, theirs = (outcomes(t, full, grade=grade, window_days=window) for t in (before, later))
        assert all(np.array_equal(getattr(mine, name), getattr(theirs, name)) for name in mine.__slots__)
        wanted, found = (
            next_interests(t, full, CLASS_OF, grade=grade, window_days=window) for t in (before, later)
        )
        assert all(np.array_equal(getattr(wanted, name), getattr(found, name)) for name in wanted.__slots__)
        if counts.any():
            drawn, again = (
                sample_negatives(t, positives, Proposal.of(counts), k=2, rng=np.random.default_rng(0))
                for t in (before, later)
            )
            assert np.array_equal(drawn.item, again.item)
            np.testing.assert_array_equal(drawn.log_q, again.log_q)


def test_a_window_that_ends_at_the_moment_itself_reaches_into_the_next_part() -> None:
    log = make_table([(0, 0, 0, "purchase", None), (7, 0, 1, "purchase", None)])
    seen = visits(log, origin_us=0)  # a visit stands 1 us before its first event
    moment_us = int(seen.time_us[0]) + 7 * DAY_US
    assert len(seen.with_full_window(moment_us, 7)) == 1
    assert len(seen.with_full_window(moment_us - 1, 7)) == 0


@given(entries, st.floats(0.01, 0.49), st.floats(0.01, 0.49))
def test_shares_are_of_the_time_that_the_log_spans(rows: list[Entry], validation: float, test: float) -> None:
    log = make_table(rows)
    assume(len(log) > 0)
    first, second = moments_by_share(log, validation=validation, test=test)
    start, end = int(log.time_us[0]), int(log.time_us[-1]) + 1
    assert to_us(first) < to_us(second) < end
    assert end - to_us(second) == pytest.approx((end - start) * test, abs=1)
    assert to_us(second) - to_us(first) == pytest.approx((end - start) * validation, abs=1)
    parts = split_in_three(log, first, second)
    assert len(parts.test)  # the newest event is in it


def test_a_tenth_of_a_hundred_days_is_ten() -> None:
    log = make_table([(day, 0, 0, "purchase", None) for day in range(100)])
    parts = split_in_three(log, *moments_by_share(log))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (80, 10, 10)


@given(entries)
def test_leaving_one_out_is_what_a_plain_loop_does(rows: list[Entry]) -> None:
    log = make_table(rows)
    parts = leave_one_out(log)
    wanted: tuple[list[int], ...] = ([], [], [])
    for user in range(len(log.users)):
        mine = [at for at in range(len(log)) if log.user[at] == user]
        about = [at for at in mine if log.item[at] >= 0]
        for at in mine:
            if len(about) < 3 or at < about[-2]:
                wanted[0].append(at)
            else:
                wanted[1 if at < about[-1] else 2].append(at)
    for found, positions in zip((parts.train, parts.validation, parts.test), wanted, strict=True):
        assert rows_of(found) == [rows_of(log)[at] for at in sorted(positions)]


@given(entries)
def test_leaving_one_out_holds_two_events_of_every_user_back_and_none_is_before_training(
    rows: list[Entry],
) -> None:
    log = make_table([row for row in rows if row[2] >= 0])
    parts = leave_one_out(log)
    assert together(parts) == sorted(rows_of(log))
    for user in range(len(log.users)):
        counts = [int((part.user == user).sum()) for part in (parts.train, parts.validation, parts.test)]
        n = sum(counts)
        assert counts == ([n - 2, 1, 1] if n >= 3 else [n, 0, 0])
        times = [part.time_us[part.user == user] for part in (parts.train, parts.validation, parts.test)]
        assert (np.diff(np.concatenate(times)) >= 0).all()


def test_which_events_count_can_be_chosen() -> None:
    log = make_table([(day, 0, day, "purchase" if day != 3 else "view", None) for day in range(5)])
    parts = leave_one_out(log, counts=log.kind == log.kind[0])
    assert [part.item.tolist() for part in (parts.train, parts.validation, parts.test)] == [
        [0, 1],
        [2, 3],
        [4],
    ]


def test_what_makes_no_sense_is_refused() -> None:
    log = make_table([(0, 0, 0, "view", None)])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="before the test"):
        split_in_three(log, day, day)
    with pytest.raises(InvalidInput, match="UTC"):
        split_in_three(log, day.replace(tzinfo=None), day.replace(tzinfo=None) + timedelta(1))
    for validation, test in ((0.0, 0.1), (0.5, 0.5), (0.1, np.nan)):
        with pytest.raises(InvalidInput, match="leave some for training"):
            moments_by_share(log, validation=validation, test=test)
    with pytest.raises(InvalidInput, match="no events to split"):
        moments_by_share(make_table([]))
    with pytest.raises(InvalidInput, match="one entry per event"):
        leave_one_out(log, counts=np.ones(2, dtype=np.bool_))
