"""Arms learn as one, each from its own users alone, and to the bit what their pages say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from honeyguide.checks.policy import equal_states
from honeyguide.config import Explore
from honeyguide.errors import InvalidSettings
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.journal.learner import Learner
from honeyguide.journal.memory import MemoryJournal
from honeyguide.shop.arms import Arms
from honeyguide.shop.split import Split, everybody
from honeyguide.types import Candidates, Decision, Event, Policy

DIM = len(BEHAVIOUR) + 3
STATE = UserPosterior(Prior.isotropic(DIM)).state()
SPLIT = Split("exploring", ("tradeoff", "thompson-0.5", "uniform"), (0.4, 0.3, 0.3))
USERS = [f"user-{number}" for number in range(12)]
START = datetime(2026, 6, 1, tzinfo=UTC)


def arms(split: Split = SPLIT) -> Arms:
    return Arms.made(split, STATE, Explore(draws=8), seed=0)


def page(policy: Policy, number: int, *, pins: dict[int, int] | None = None) -> Decision:
    rng = np.random.default_rng(number)
    user = USERS[number % len(USERS)]
    features = (rng.normal(size=(8, DIM)) / 4).astype(np.float32)
    candidates = Candidates(user, tuple(f"item-{row}" for row in range(8)), features, remaining_visits=9.0)
    request = Request(f"page-{number}", START + timedelta(hours=7 * number))
    return decide(policy, candidates, k=3, request=request, rng=rng, pins=pins)


def journal_of(made: Arms, pages: int = 60) -> MemoryJournal:
    """Pages of each user's arm, clicked on now and then, learned from as they come in."""
    journal, learner = MemoryJournal(), learner_of(made)
    rng = np.random.default_rng(1)
    for number in range(pages):
        user = USERS[number % len(USERS)]
        decision = page(learner.policy.policy_of(user), number)
        journal.append([decision])
        for item in np.array(decision.item_ids)[rng.random(3) < 0.3].tolist():
            told = decision.time + timedelta(hours=1)
            name = f"{decision.decision_id}:{item}"
            journal.append([Event(name, told, user, "click", item, decision_id=decision.decision_id)])
        learner.catch_up(journal)
    return journal


def learner_of(made: Arms) -> Learner[Arms]:
    return Learner(made, grade=lambda kind: 0.2 * (kind == "click"), window=timedelta(days=2))


def learned(journal: MemoryJournal, split: Split = SPLIT) -> Arms:
    learner = learner_of(arms(split))
    learner.catch_up(journal)
    return learner.policy


@pytest.fixture(scope="module")
def journal() -> MemoryJournal:
    return journal_of(arms())


def in_arm(arm: int) -> list[str]:
    return [user for user in USERS if SPLIT.arm_of(user) == arm]


def users_of(policy: object) -> Sequence[str]:
    posterior = policy.posterior  # type: ignore[attr-defined]
    assert isinstance(posterior, UserPosterior)
    return sorted(posterior.users)


def test_every_arm_has_users_here() -> None:
    assert all(in_arm(arm) for arm in range(3))


def test_an_arm_learns_from_its_own_users_alone(journal: MemoryJournal) -> None:
    made = learned(journal)
    assert [users_of(belief) for belief in made.beliefs] == [sorted(in_arm(arm)) for arm in range(3)]


def test_beside_a_policy_without_a_belief_stands_one_that_has_learned(journal: MemoryJournal) -> None:
    made = learned(journal)
    assert [policy.name for policy in made.policies] == ["tradeoff", "thompson-0.5", "uniform"]
    assert [belief.name for belief in made.beliefs] == ["tradeoff", "thompson-0.5", "greedy"]
    user = in_arm(2)[0]
    assert made.policy_of(user).name == "uniform"
    nothing = arms().belief_of(user).posterior.belief(user).mean
    assert not np.array_equal(made.belief_of(user).posterior.belief(user).mean, nothing)


def test_live_is_replay_and_a_restored_learner_goes_on_to_the_bit(journal: MemoryJournal) -> None:
    live = learner_of(arms())
    for record in journal.read():
        live.fold(record, journal)
        if record.offset in (1, 20, 41):
            live = learner_of(arms()).restore(live.state(), journal)
    assert equal_states(live.state(), learner_of_all(journal).state())


def learner_of_all(journal: MemoryJournal) -> Learner[Arms]:
    learner = learner_of(arms())
    learner.catch_up(journal)
    return learner


def test_retracting_undoes_and_the_order_does_not_matter() -> None:
    pages = [page(arms().policies[number % 3], number) for number in range(12)]
    rewards = [np.array([0.2, 0.0, 1.0])] * 12
    there, back = arms(), arms()
    for decision, earned in zip(pages, rewards, strict=True):
        there.update(decision, earned)
    for decision, earned in zip(pages[::-1], rewards, strict=True):
        back.update(decision, earned)
    assert equal_states(there.state(), back.state())
    for decision, earned in zip(pages, rewards, strict=True):
        there.retract(decision, earned)
    assert equal_states(there.state(), arms().state())


def test_an_erased_user_was_never_there(journal: MemoryJournal) -> None:
    kept = MemoryJournal()
    kept.append([record.entry for record in journal.read() if isinstance(record.entry, Decision | Event)])
    learner = learner_of_all(kept)
    kept.erase(USERS[0])
    learner.erase(USERS[0])
    assert equal_states(learner.policy.state(), learner_of_all(kept).policy.state())


def test_what_was_fitted_of_a_user_is_forgotten_in_every_arm() -> None:
    posterior = UserPosterior(Prior.isotropic(DIM))
    posterior.observe("ann", np.ones((1, DIM), dtype=np.float32), np.ones(1))
    made = Arms.made(SPLIT, posterior.state(), Explore(), seed=0)
    made.forget("ann")
    assert [users_of(belief) for belief in made.beliefs] == [[], [], []]


def ledger_of(made: Arms) -> Tradeoff:
    policy = made.policies[0]
    assert isinstance(policy, Tradeoff)
    return policy


def test_the_account_of_exploring_leaves_out_what_another_policy_or_the_shop_chose() -> None:
    made, alone = arms(everybody("tradeoff")), arms(everybody("tradeoff"))
    own = page(alone.policies[0], 0, pins={0: 5})
    fixed = page(alone.policies[0], 1, pins={0: 1, 1: 2, 2: 3})
    foreign = page(arms().policies[2], 2)
    earned = np.array([1.0, 0.2, 0.0])
    for decision in (own, fixed, foreign):
        made.update(decision, earned)
    assert users_of(made.policies[0]) == sorted(USERS[:3])
    totals = ledger_of(made).totals()
    assert totals.explored + totals.exploited == 2  # but the pin
    assert totals.explored_reward + totals.exploited_reward == pytest.approx(0.2)
    free = [row for row in own.exploit_rows.tolist() if row != 5]
    assert totals.greedy_promise == pytest.approx(2 * own.plan.scores[free].mean())
    for decision in (own, fixed, foreign):
        made.retract(decision, earned)
    assert equal_states(made.state(), alone.state())


def test_who_moves_to_another_arm_takes_along_what_was_learned_of_them(journal: MemoryJournal) -> None:
    ended = learned(journal, everybody("tradeoff"))
    assert users_of(ended.policies[0]) == sorted(USERS)
    moved = learned(journal, replace(SPLIT, name="another"))
    assert sorted(user for belief in moved.beliefs for user in users_of(belief)) == sorted(USERS)


def test_an_unknown_policy_is_refused_as_a_setting() -> None:
    split = Split("exploring", ("tradeoff", "thomson-1"), (0.5, 0.5))
    with pytest.raises(InvalidSettings, match=r"\[experiment\] arms: there is no policy 'thomson-1'.*linucb"):
        arms(split)
