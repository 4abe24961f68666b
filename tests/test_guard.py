"""A canary that does harm is found, one that does none hardly ever; what is found is a fold of the journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from honeyguide.checks.journal import sample_decision
from honeyguide.config import Labels
from honeyguide.evaluate.guard import Finding, Guard
from honeyguide.journal.protocol import Record
from honeyguide.shop.canary import Canary
from honeyguide.types import Decision, Event

START = datetime(2026, 6, 1, tzinfo=UTC)
SPLIT = Canary(2, 0.2, START).split
DECISION = sample_decision(0)


def _guard(most: float = 2.0) -> Guard:
    return Guard(SPLIT, grade=Labels().grade, hours=1.0, most=most)


def _page(offset: int, user: str, at: datetime, version: str = SPLIT.label) -> Record:
    candidates = replace(DECISION.candidates, user_id=user, remaining_visits=0.0)
    page = replace(DECISION, decision_id=f"d-{offset}", user_id=user, candidates=candidates, time=at)
    return Record(offset, replace(page, policy_version=version))


def _bought(page: Record, offset: int, after: timedelta) -> Record:
    assert isinstance(page.entry, Decision)
    event = Event(
        f"e-{offset}",
        page.entry.time + after,
        page.entry.user_id,
        "purchase",
        item_id=DECISION.item_ids[0],
        decision_id=page.entry.decision_id,
    )
    return Record(offset, event)


def _traffic(users: int, rates: tuple[float, float], seed: int) -> Iterator[Record]:
    """A user a minute, each with a page; of either arm so many buy."""
    dice = np.random.default_rng(seed)
    for n in range(users):
        user = f"{seed}-{n}"
        page = _page(2 * n + 1, user, START + timedelta(minutes=n))
        yield page
        if dice.random() < rates[SPLIT.arm_of(user)]:
            yield _bought(page, 2 * n + 2, timedelta(minutes=5))


def _watched(users: int, rates: tuple[float, float], seed: int, looks: int) -> list[Finding]:
    guard, found = _guard(), []
    for n, record in enumerate(_traffic(users, rates, seed)):
        guard.fold(record)
        if n % (users // looks) == 0:
            found.append(guard.finding(record.entry.time))
    return found


def test_a_canary_that_does_no_harm_is_hardly_ever_taken_back() -> None:
    alarms = [any(one.harmful for one in _watched(300, (0.3, 0.3), seed, 8)) for seed in range(40)]
    assert sum(alarms) <= 3  # one is expected, if each were looked at for ever


@pytest.mark.parametrize(("rate", "users"), [(0.1, 500), (0.2, 1000)])
def test_a_canary_that_does_harm_is_found(rate: float, users: int) -> None:
    found = _watched(users + 120, (0.4, rate), 1, users // 100)[-1]
    assert found.harmful
    assert found.difference is not None
    assert found.difference.low < rate - 0.4 < found.difference.high
    assert found.users <= users


def test_a_canary_that_earns_more_is_left() -> None:
    assert not any(one.harmful for one in _watched(600, (0.1, 0.4), 1, 5))


def test_a_user_counts_once_all_is_known_and_only_what_is_within_the_hours() -> None:
    guard = _guard(most=5.0)
    user = next(f"u-{n}" for n in range(100) if SPLIT.arm_of(f"u-{n}") == 1)
    first = _page(1, user, START)
    late, other = _page(3, user, START + timedelta(hours=1)), _page(5, user, START, version="tradeoff")
    for record in (
        first,
        _bought(first, 2, timedelta(minutes=59)),
        late,
        _bought(late, 4, timedelta(0)),
        other,
        _bought(other, 6, timedelta(0)),
        _bought(first, 7, timedelta(minutes=10)),  # of the same item: it was bought once
        _bought(first, 8, timedelta(minutes=61)),
    ):
        guard.fold(record)
    assert guard.finding(START + timedelta(minutes=119)) == Finding(0)
    found = guard.finding(START + timedelta(minutes=120))
    assert found.users == 1
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(1.0 / 0.2)
    assert guard.offset == 8


def test_it_is_the_same_whenever_it_begins_to_look() -> None:
    records = list(_traffic(120, (0.4, 0.2), 3))
    whole, again = _guard(), _guard()
    for record in records:
        whole.fold(record)
        whole.finding(record.entry.time)
    for record in records:
        again.fold(record)
    now = START + timedelta(hours=5)
    assert whole.finding(now) == again.finding(now)
