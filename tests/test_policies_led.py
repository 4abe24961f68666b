"""Interests that others went on to from here are explored more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.checks.policy import DIM, N, PolicyCheck, pmf_of, train, world
from honeyguide.data.catalog import Catalog
from honeyguide.explore.interest_first import InterestFirst
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.interests.items import ItemFacts
from honeyguide.interests.sequence.recent import Recent
from honeyguide.interests.transitions import Transitions
from honeyguide.interests.users import DAY_US, History, ShopperModel
from honeyguide.shop.offer import offer
from honeyguide.types import Candidates, Floats, Policy
from tests.policy_cases import cases, posterior

FLOOR = 0.1
LEADS = np.array([2.0, 0.5, 1.0, 0.1])[np.arange(N) % 4]
"""Of each item of `world`, whose interests are 0 to 3 in turns."""


def staged(*, led: bool = True, level: float = 0.5) -> InterestFirst:
    return InterestFirst(posterior(DIM), level=level, floor=FLOOR, draws=256, within=0.5, led=led)


MAKES: dict[str, Callable[[int], Policy]] = {
    "InterestFirst-led": lambda dim: InterestFirst(
        posterior(dim), level=0.5, floor=0.05, draws=64, within=0.5, led=True
    ),
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def alike() -> Candidates:
    """Four items that are nothing to anybody, one of each interest."""
    ids = ("a", "b", "c", "d")
    features = np.zeros((4, 3), dtype=np.float32)
    return Candidates("ann", ids, features, groups=np.arange(4), leads=np.array([3.0, 1.0, 0.5, 0.5]))


def test_interests_that_win_alike_are_shown_as_they_lead() -> None:
    policy = InterestFirst(UserPosterior(Prior.isotropic(3)), level=1.0, floor=FLOOR, draws=16, led=True)
    pmf = policy.probabilities(alike(), np.random.default_rng(0))
    assert pmf == pytest.approx(0.9 * np.array([0.6, 0.2, 0.1, 0.1]) + 0.1 / 4)


def test_what_leads_weighs_the_share_of_wins_of_an_interest_and_no_item_within_it() -> None:
    led, plain = staged(), staged(led=False)
    for policy in (led, plain):
        train(policy, 20)
    candidates = replace(world(), leads=LEADS)
    weighed, free = ((pmf_of(policy, candidates) - FLOOR / N) / (1 - FLOOR) for policy in (led, plain))
    wanted = free * LEADS
    assert weighed == pytest.approx(wanted / wanted.sum())


@pytest.mark.parametrize("leads", [None, np.full(N, 1.7)])
def test_where_nothing_leads_or_all_alike_it_is_the_plain_one(leads: Floats | None) -> None:
    led, plain = staged(), staged(led=False)
    candidates = replace(world(), leads=leads)
    assert pmf_of(led, candidates) == pytest.approx(pmf_of(plain, candidates))


def test_exploit_only_is_not_led() -> None:
    policy = staged()
    train(policy, 10)
    asked = replace(world(), leads=LEADS)
    one, other = (
        policy.probabilities(each, np.random.default_rng(0), level=0.0) for each in (asked, world())
    )
    assert np.array_equal(one, other)


def test_the_order_of_candidates_that_lead_does_not_matter_and_a_part_of_them_leads_as_before() -> None:
    policy = staged()
    train(policy, 10)
    candidates = replace(world(), leads=LEADS)
    order = np.random.default_rng(3).permutation(N)
    assert pmf_of(policy, candidates)[order] == pytest.approx(
        pmf_of(policy, candidates.take(order)), abs=1e-9
    )
    part = candidates.take([3, 0]).leads
    assert part is not None
    assert part.tolist() == [0.1, 2.0]


def test_a_led_policy_is_restored_as_one() -> None:
    twin = InterestFirst.from_state(staged().state())
    assert (twin.led, twin.name) == (True, "interest-first-led-0.5-within-0.5")
    assert InterestFirst.from_state(staged(led=False).state()).led is False


def shopper() -> ShopperModel:
    """Four items in three interests, of which the last item was taken by nobody."""
    facts = ItemFacts(
        vectors=np.eye(4, 2, dtype=np.float32),
        leaf=np.array([0, 0, 1, 2]),
        top_of_leaf=np.zeros(3, dtype=np.int64),
        popularity=np.ones(4, dtype=np.float32),
        rebought=np.zeros(4, dtype=np.float32),
        taken=np.array([5, 1, 2, 0]),
    )
    names = [f"item-{row}" for row in range(4)]
    return ShopperModel(Catalog.of(names, titles=names), facts, grade=lambda kind: 1.0, half_life_days=30.0)


CHANCES = np.array([[0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [1 / 3, 1 / 3, 1 / 3]])
BASE = np.array([0.5, 0.3, 0.2])


def past(*rows: int) -> History:
    tokens, times = np.array(rows, dtype=np.int64), np.arange(len(rows)) * DAY_US
    recent = Recent.of(tokens, np.zeros(len(rows), dtype=np.int8), times)
    return History.of(tokens, np.full(len(rows), 1000), times, recent)


def offered(history: History, transitions: Transitions | None) -> Candidates:
    rows = np.array([3, 0, 2])
    return offer(shopper(), "ann", history, rows, 9 * DAY_US, horizon_days=90.0, transitions=transitions)


def test_candidates_lead_where_others_went_from_here_more_often_than_in_general() -> None:
    transitions = Transitions(CHANCES, BASE)
    found = offered(past(1), transitions).leads
    assert found == pytest.approx([0.1 / 0.2, 0.5 / 0.5, 0.4 / 0.3])
    # what came before counts 0.7 of the last: from interest 0 to interest 1
    mixed = (0.7 * CHANCES[0] + CHANCES[1]) / 1.7 / BASE
    assert offered(past(0, 2), transitions).leads == pytest.approx(mixed[[2, 0, 1]])
    assert offered(past(), transitions).leads == pytest.approx(np.ones(3))
    assert offered(past(1), None).leads is None


def test_what_nobody_has_taken_is_fresh_and_interests_are_told() -> None:
    found = offered(past(1), None)
    assert found.fresh is not None
    assert found.groups is not None
    assert found.fresh.tolist() == [True, False, False]
    assert found.groups.tolist() == [2, 0, 1]
    assert found.item_ids == ("item-3", "item-0", "item-2")
