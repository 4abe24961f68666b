"""What an experiment says of its arms: by hand, and right however often it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pytest

from honeyguide.checks.journal import sample_decision
from honeyguide.evaluate.confidence import Sequence
from honeyguide.evaluate.experiment import ArmResult, ExperimentReport, Page, differences, judge, usual
from honeyguide.shop.split import Split

START = datetime(2026, 6, 1, tzinfo=UTC)
SPLIT = Split("exploring", ("tradeoff", "greedy"), (0.6, 0.4))
DECISION = sample_decision(0)
WINDOW, DAYS = timedelta(days=10), 7.0


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def page(user: str, at: float, *rewards: float, visits: float = 0.0) -> Page:
    candidates = replace(DECISION.candidates, user_id=user, remaining_visits=visits)
    earned = np.array([*rewards, *np.zeros(3 - len(rewards))])
    return replace(DECISION, user_id=user, candidates=candidates, time=day(at)), earned


def users_in(arm: int, split: Split = SPLIT) -> Iterator[str]:
    return (f"user-{n}" for n in range(100_000) if split.arm_of(f"user-{n}") == arm)


def found(pages: list[Page], now: float, split: Split = SPLIT, most: float = 5.0) -> ExperimentReport:
    return judge(split, pages, now=day(now), window=WINDOW, days=DAYS, most=most)


def test_a_user_counts_when_all_that_their_days_earned_is_known() -> None:
    ann, bob = next(users_in(0)), next(users_in(1))
    pages = [page(ann, 0, 1.0), page(bob, 3, 0.5), page(ann, 6.9, 0.2), page(ann, 7.1, 1.0)]
    early, now, late = found(pages, 17), found(pages, 17.01), found(pages, 21)
    assert [arm.judged for arm in early.arms] == [0, 0]
    assert [arm.judged for arm in now.arms] == [1, 0]
    assert [arm.judged for arm in late.arms] == [1, 1]
    assert [arm.per_user for arm in late.arms] == pytest.approx([1.2, 0.5])
    assert [(arm.users, arm.decisions) for arm in late.arms] == [(1, 3), (1, 1)]
    assert [arm.per_decision for arm in early.arms] == pytest.approx([(1.0 + 0.2) / 2, 0.5])
    assert (late.first_day, late.name, late.days, late.level) == ("2026-06-01", "exploring", 7.0, 0.95)


def test_a_users_reward_is_bounded_and_it_is_told_how_often() -> None:
    ann, bob = next(users_in(0)), next(users_in(1))
    report = found([page(ann, 0, 1.0, 1.0, 1.0), page(ann, 1, 1.0), page(bob, 0, 0.1)], 30, most=2.5)
    assert [arm.per_user for arm in report.arms] == pytest.approx([2.5, 0.1])
    assert report.capped == 0.5


def test_before_anybody_is_judged_nothing_is_said() -> None:
    nothing = found([], 10)
    assert nothing.arms[1] == ArmResult("greedy", 0.4, 0, 0, 0, None, None, verdict="not yet")
    assert (nothing.first_day, nothing.uneven) == ("", False)
    waiting = found([page("ann", 0, 1.0)], 5)
    assert [arm.difference for arm in waiting.arms] == [None, None]
    assert sum(arm.users for arm in waiting.arms) == 1


def test_what_users_say_is_worked_out_as_by_hand() -> None:
    """The usual is 0, then 2, then 3: (2 - 0) / .25, -(4 - 2) / .75, (0 - 3) / .25."""
    said = differences(np.array([2.0, 4.0, 0.0]), np.array([1.0, 0.0, 1.0]), 0.25, np.zeros(3))
    assert said == pytest.approx([8.0, -2.0 / 0.75, -12.0])


def test_what_is_usual_is_a_line_through_those_who_came_before() -> None:
    """Ridge regression with one user's weight on the slope, solved for each; never below 0 or above the best."""
    rng = np.random.default_rng(0)
    coming = rng.random(40) * 3
    rewards = np.maximum(2 * coming + rng.normal(size=40), 0.0)
    found = usual(rewards, coming)
    assert found[0] == 0
    for n in range(1, 40):
        x, y = coming[:n] - coming[:n].mean(), rewards[:n]
        line = y.mean() + (x @ y) / (x @ x + 1) * (coming[n] - coming[:n].mean())
        assert found[n] == pytest.approx(min(max(line, 0.0), y.max()))


def test_what_is_usual_does_not_know_what_came_of_the_user_or_later() -> None:
    rng = np.random.default_rng(1)
    rewards, coming = rng.random(20), rng.random(20)
    changed = rewards.copy()
    changed[12:] = 9.0
    assert np.array_equal(usual(rewards, coming)[:13], usual(changed, coming)[:13])


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_what_users_say_is_the_difference_on_average_whatever_they_earn_and_when(effect: float) -> None:
    """All ways of sharing six users out, each by its chance: the users who come first earn most."""
    base, chance, coming = np.array([5.0, 3.0, 4.0, 1.0, 0.5, 0.0]), 0.3, np.array([2.0, 1, 2, 0, 0, 1])
    total = np.zeros(6)
    for arms in product((0.0, 1.0), repeat=6):
        second = np.array(arms)
        likely = np.prod(np.where(second == 1, chance, 1 - chance))
        total += likely * differences(base + effect * second, second, chance, coming)
    assert total == pytest.approx(np.full(6, effect))


def test_the_interval_is_that_of_the_sequence_over_the_users_in_the_order_they_came() -> None:
    rng = np.random.default_rng(0)
    users = [f"user-{n}" for n in rng.permutation(60)]
    rewards = rng.random(60)
    visits = rng.random(60) * 9
    pages = [page(users[n], 0.1 * n, rewards[n], visits=visits[n]) for n in range(60)]
    band = found([pages[n] for n in rng.permutation(60)], 99).arms[1].difference
    second = np.array([float(SPLIT.arm_of(user)) for user in users])
    sequence = Sequence(low=-5 / 0.4, high=5 / 0.4)
    sequence.add(differences(rewards, second, 0.4, np.log1p(visits)))
    assert band is not None
    assert band.mean == pytest.approx(sequence.mean)
    assert band.low == pytest.approx(max(sequence.interval().low, -5))
    assert band.high == pytest.approx(min(sequence.interval().high, 5))


def test_of_several_arms_each_is_compared_to_the_first_and_all_intervals_hold_together() -> None:
    three = Split("three", ("a", "b", "c"), (0.5, 0.25, 0.25))
    pages = [page(f"user-{n}", 0.01 * n, 0.5, (n % 3) / 2) for n in range(90)]
    report = found(pages, 99, three)
    assert report.level == pytest.approx(0.975)
    pair = Split("three", ("a", "c"), (2 / 3, 1 / 3))
    kept = [one for one in pages if three.arm_of(one[0].user_id) != 1]
    second = np.array([float(three.arm_of(decision.user_id) == 2) for decision, _ in kept])
    sequence = Sequence(level=0.975, low=-15, high=15)
    rewards = np.array([earned.sum() for _, earned in kept])
    sequence.add(differences(rewards, second, pair.shares[1], np.zeros(len(kept))))
    band = report.arms[2].difference
    assert band is not None
    assert band.mean == pytest.approx(sequence.mean)
    assert band.high == pytest.approx(min(sequence.interval().high, 5))


def test_arms_that_lose_their_users_are_noticed() -> None:
    even = [page(f"user-{n}", 0) for n in range(400)]
    lost = [one for n, one in enumerate(even) if SPLIT.arm_of(one[0].user_id) == 0 or n % 2]
    assert (found(even, 1).uneven, found(lost, 1).uneven) == (False, True)


def experiment(seed: int, users: int, lift: float) -> list[Page]:
    """Users who come one after the other, the keenest first; the second arm's earn more by a share `lift`."""
    rng = np.random.default_rng(seed)
    pages = []
    for n in range(users):
        user = f"{seed}-{n}"
        keen = 3 * np.exp(-2 * n / users) * rng.gamma(2.0, 0.5)
        for visit in range(1 + rng.poisson(keen * (1 + lift * SPLIT.arm_of(user)))):
            clicks = (rng.random(3) < 0.25 * (1 + lift * SPLIT.arm_of(user))).astype(np.float64)
            pages.append(page(user, 0.1 * n + visit, *clicks, visits=keen))
    return pages


def verdicts(pages: list[Page], users: int, looks: int = 4) -> list[str]:
    last = 0.1 * users + DAYS + WINDOW.days
    return [
        found(pages, DAYS + WINDOW.days + (last - 17) * n / looks).arms[1].verdict
        for n in range(1, looks + 1)
    ]


@pytest.mark.slow
def test_where_arms_are_alike_hardly_any_experiment_that_is_watched_says_otherwise() -> None:
    alarms = [set(verdicts(experiment(seed, 160, 0.0), 160)) - {"not yet"} for seed in range(80)]
    assert sum(map(bool, alarms)) <= 0.05 * 80


@pytest.mark.slow
def test_a_difference_that_is_there_is_found_and_its_direction_is_right() -> None:
    ends = [verdicts(experiment(seed, 500, 1.0), 500)[-1] for seed in range(12)]
    assert ends.count("better") >= 10
    assert "worse" not in ends


def test_the_number_of_users_it_takes_is_where_the_width_falls_with_the_root_of_the_users() -> None:
    first = found(experiment(3, 150, 0.5), 99).arms[1]
    assert first.verdict == "not yet"
    assert first.difference is not None
    mean, low = first.difference.mean, first.difference.low
    assert mean > 0 > low
    more = np.ceil(150 * (((mean - low) / mean) ** 2 - 1))
    assert first.more_users == more
    then = found(experiment(4, 150 + 2 * int(more), 0.5), 999).arms[1]
    assert (then.verdict, then.more_users) == ("better", None)


def test_without_any_difference_no_number_of_users_is_named() -> None:
    ann, bob = next(users_in(0)), next(users_in(1))
    arm = found([page(ann, 0), page(bob, 0)], 99).arms[1]
    assert arm.difference is not None
    assert (arm.difference.mean, arm.verdict, arm.more_users) == (0.0, "not yet", None)
