"""A policy that learns is replayed as it would have lived: what it earns, what it learns from, and from whom not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Self

import numpy as np
import pytest

from honeyguide.checks.policy import equal_states
from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.evaluate.ope import DR, DoublyRobustReplay, RejectionReplay
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide, draw
from honeyguide.types import Candidates, Decision, Estimate, Floats, Plan, State

START = datetime(2026, 1, 1, tzinfo=UTC)
EARNS = np.array([0.1, 0.2, 0.4, 0.8])
MOOD = 0.2  # what a user's clicks are likelier or less likely than others'
BOTH = pytest.mark.parametrize("make", [RejectionReplay, DoublyRobustReplay], ids=lambda make: make.__name__)
ITEMS = np.column_stack([np.arange(4), [0.5, 0.25, 0.15, 0.1]]).astype(np.float32)


class Counting(Uniform):
    """Shows what was clicked more often more often: it has learned most after some fifty pages."""

    name = "counting"

    def __init__(self, counts: Floats | None = None) -> None:
        self.counts = np.ones((2, 4)) if counts is None else counts  # (clicked or not, items)
        self.taught: list[str] = []

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        liked = (self.counts[1] / self.counts.sum(axis=0)) ** 4
        return np.asarray(0.05 + 0.8 * liked / liked.sum())

    def update(self, decision: Decision, rewards: Floats) -> None:
        self.counts[int(rewards[0]), decision.chosen[0]] += 1
        self.taught.append(decision.decision_id)
        LESSONS.append((decision.decision_id, tuple(rewards.tolist())))

    def state(self) -> State:
        return {"counts": self.counts.copy()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        return cls(state["counts"].copy())


LESSONS: list[tuple[str, tuple[float, ...]]] = []


class Uneven(Uniform):
    """Shows the items with the chances of feature 1."""

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        return candidates.features[:, 1].astype(np.float64)


EVEN, UNEVEN = Uniform(), Uneven()


@cache
def log_of(logger: Uniform, seed: int, pages: int = 240, k: int = 1) -> tuple[list[Decision], list[Floats]]:
    """Four pages of each user; the earliest pages come last in the list."""
    rng = np.random.default_rng(seed)
    decisions, rewards = [], []
    for number in range(pages):
        user = number % (pages // 4)
        request = Request(f"{seed}/{number:04}", START + timedelta(hours=number))
        candidates = Candidates(f"user-{user}", ("a", "b", "c", "d"), ITEMS)
        decision = decide(logger, candidates, k=k, request=request, rng=rng)
        mood = MOOD * (-1) ** np.random.default_rng([seed, user]).integers(2)
        decisions.append(decision)
        rewards.append((rng.random(k) < EARNS[decision.chosen] * (1 + mood)).astype(np.float64))
    return decisions[::-1], rewards[::-1]


def lived(steps: int, rng: np.random.Generator) -> float:
    """What the policy earns a page if it lives through so many itself."""
    policy, earned = Counting(), 0.0
    candidates = Candidates("anybody", ("a", "b", "c", "d"), ITEMS)
    for _ in range(steps):
        chances = policy.probabilities(candidates, rng)
        row = draw(chances, rng)
        earned += float(chances @ EARNS)
        policy.counts[int(rng.random() < EARNS[row]), row] += 1
    return earned / steps


@pytest.mark.parametrize("logger", [EVEN, UNEVEN], ids=["even log", "uneven log"])
@BOTH
def test_it_earns_what_it_would_have_earned_itself(make: Any, logger: Uniform) -> None:
    """Unbiased over 40 logs, for the steps that it got to; and the interval holds that."""
    rng = np.random.default_rng(1)
    off, held = [], []
    for seed in range(40):
        found: Estimate = make(least_kept=5).estimate(*log_of(logger, seed), Counting())
        truth = np.mean([lived(int(found.effective_n), rng) for _ in range(10)])
        off.append(found.value - truth)
        held.append(found.low <= truth <= found.high)
    assert abs(np.mean(off)) < 3.5 * np.std(off) / np.sqrt(len(off))
    assert np.mean(held) >= 0.85


def test_on_an_even_log_it_keeps_a_page_as_often_as_it_draws_the_logged_item() -> None:
    """One in four, whatever it draws by; and on a log that is uneven one in ten, the smallest chance there is."""
    for logger, share in ((EVEN, 0.25), (UNEVEN, 0.1)):
        decisions, rewards = log_of(logger, 3, pages=1200)
        kept = RejectionReplay().estimate(decisions, rewards, Ranked(0, floor=0.2)).effective_n
        assert kept == pytest.approx(1200 * share, abs=4 * np.sqrt(1200 * share))


@BOTH
def test_it_learns_in_the_order_of_time_from_what_it_kept_and_nothing_is_taught_the_one_that_asks(
    make: Any,
) -> None:
    decisions, rewards = log_of(EVEN, 4)
    target = Counting()
    LESSONS.clear()
    found = make().estimate(decisions, rewards, target)
    assert (target.taught, equal_states(target.state(), Counting().state())) == ([], True)
    names = [name for name, _ in LESSONS]
    assert names == sorted(names)
    assert len(names) == found.effective_n < found.n == 240
    earned = {one.decision_id: tuple(reward.tolist()) for one, reward in zip(decisions, rewards, strict=True)}
    assert all(earned[name] == reward for name, reward in LESSONS)


@BOTH
def test_the_order_in_which_pages_are_given_is_of_no_account(make: Any) -> None:
    decisions, rewards = log_of(EVEN, 5)
    order = np.random.default_rng(0).permutation(len(decisions))
    shuffled = [decisions[i] for i in order], [rewards[i] for i in order]
    assert make().estimate(*shuffled, Counting()) == make().estimate(decisions, rewards, Counting())
    assert make(seed=1).estimate(*shuffled, Counting()) != make().estimate(*shuffled, Counting())


def test_a_policy_that_learns_nothing_is_doubly_robust_as_ever() -> None:
    decisions, rewards = log_of(UNEVEN, 6)
    learning = DoublyRobustReplay(least_kept=2).estimate(decisions, rewards, Ranked(0, floor=0.2))
    plain = DR().estimate(decisions, rewards, Ranked(0, floor=0.2))
    for name in ("value", "low", "high", "n"):
        assert getattr(learning, name) == pytest.approx(getattr(plain, name))


def test_every_page_tells_more_than_the_kept_ones_and_room_for_bias_keeps_more() -> None:
    log = log_of(UNEVEN, 7, pages=600)
    rejection, robust, bolder = (
        estimator.estimate(*log, Counting())
        for estimator in (RejectionReplay(), DoublyRobustReplay(), DoublyRobustReplay(quantile=0.1))
    )
    assert robust.high - robust.low < 0.7 * (rejection.high - rejection.low)
    assert bolder.effective_n > 1.5 * robust.effective_n == 1.5 * rejection.effective_n


def test_only_the_first_slot_is_looked_at_and_not_where_the_shop_filled_it() -> None:
    decisions, rewards = log_of(EVEN, 8, k=2)
    tops = [replace(one.only([0]), page_size=1) for one in decisions]
    found = DoublyRobustReplay().estimate(decisions, rewards, Counting())
    assert found == DoublyRobustReplay().estimate(tops, [earned[:1] for earned in rewards], Counting())
    pinned = [_pinned(one) for one in decisions[:40]]
    mixed = DoublyRobustReplay().estimate([*pinned, *decisions[40:]], rewards, Counting())
    assert mixed == DoublyRobustReplay().estimate(decisions[40:], rewards[40:], Counting())
    with pytest.raises(NoSupport, match="pinned the first slot"):
        RejectionReplay().estimate(pinned, rewards[:40], Counting())


def _pinned(decision: Decision) -> Decision:
    request = Request(decision.decision_id, decision.time)
    rng = np.random.default_rng(0)
    return decide(Uniform(), decision.candidates, k=2, request=request, rng=rng, pins={0: 1})


@BOTH
def test_too_little_to_learn_from_is_no_answer(make: Any) -> None:
    decisions, rewards = log_of(EVEN, 9)
    with pytest.raises(NoSupport, match="could keep"):
        make(least_kept=100).estimate(decisions, rewards, Counting())
    alone = [replace(one, user_id="ann") for one in decisions]
    with pytest.raises(NoSupport, match="of 1 users"):
        RejectionReplay().estimate(alone, rewards, Counting())
    with pytest.raises(NoSupport, match="no logged decisions"):
        make().estimate([], [], Counting())


class _Never(Uniform):
    """Never shows the first item; has no answer of its own to the rest."""

    def plan(self, candidates: Candidates) -> Plan:
        return Plan(0.0, "never the first", np.arange(4.0))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        return np.array([0.0, 0.5, 0.25, 0.25])


def test_an_item_that_it_never_shows_is_never_kept() -> None:
    decisions, rewards = log_of(EVEN, 10)
    found = DoublyRobustReplay(quantile=0.5).estimate(decisions, rewards, _Never())
    others = sum(int(one.chosen[0]) != 0 for one in decisions)
    assert 0 < found.effective_n <= others


@pytest.mark.parametrize(
    ("said", "settings"),
    [("level", {"level": 1.0}), ("least_kept", {"least_kept": 1}), ("quantile", {"quantile": 1.0})],
)
def test_settings_out_of_range_are_refused(said: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=said):
        DoublyRobustReplay(**settings)
    if said != "quantile":
        with pytest.raises(InvalidInput, match=said):
            RejectionReplay(**settings)
