"""The laws of an off-policy estimator: run them over yours with `check_estimator(make)`.

The logs come from a small shop whose true values are known by enumeration: two kinds of visit, users whose mood
moves all their rewards, and an item that lifts what stands right under it. What an estimator says of itself decides
what is asked of it:

    slotwise    right where slots stand alone: its shop has no item that lifts another
    modelled    asks a reward model: on the logged policy itself it need not say the logged mean to the last digit
    unbiased    False where it takes a model's word or clips: values need not be exact, and intervals may be wide

An estimator that says nothing is held to everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.checks.policy import LawBroken, require
from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.shares import with_floor
from honeyguide.types import Candidates, Decision, Estimate, Estimator, Floats, Policy

MakeEstimator = Callable[[], Estimator]
EstimatorCheck = Callable[[MakeEstimator], None]

LOGS = 100
"""Simulated logs for each page length."""
USERS = 16
VISITS = 6
COVERED = (0.92, 0.99)
"""How many of 2 x 100 intervals may hold the truth: 95 %, give or take two sampling errors or so."""
COVERED_EACH = 0.85
"""The same for the 100 of one page length."""
WHOLE = 6
"""Users of a complete log: each of them has all of it, so that whoever learns from others learns from all."""

TIME = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = ("tea", "cup", "jam", "oat")
EARNS = np.array([[0.15, 0.60, 0.30, 0.45], [0.50, 0.20, 0.65, 0.10]])  # (kinds of visit, items)
MOOD = 0.9  # a user's rewards are multiplied by 1 - MOOD or 1 + MOOD
LIFT = (
    2.2  # ... and those of what stands right under the visit's best item by this; 1 where slots stand alone
)


@dataclass(frozen=True, slots=True)
class Log:
    """What an estimator is given: decisions and their rewards."""

    decisions: tuple[Decision, ...]
    rewards: tuple[Floats, ...]

    @property
    def mean(self) -> float:
        """The logged mean reward per page."""
        return float(np.mean([earned.sum() for earned in self.rewards]))

    def take(self, rows: list[int]) -> Log:
        """The pages at `rows`, in that order."""
        return Log(tuple(self.decisions[i] for i in rows), tuple(self.rewards[i] for i in rows))


def check_estimator(make: MakeEstimator) -> None:
    """Run every law that holds for what the estimator says of itself."""
    for check in checks_for(make):
        check(make)


def checks_for(make: MakeEstimator) -> tuple[EstimatorCheck, ...]:
    """The laws that hold for such an estimator: one that is biased by design need not be exact."""
    if getattr(make(), "unbiased", True):
        return CHECKS_ESTIMATOR
    return tuple(check for check in CHECKS_ESTIMATOR if check is not check_value_is_exact_on_a_complete_log)


def lift_for(make: MakeEstimator) -> float:
    """How much the best item lifts what stands under it, in the shop in which this estimator is tested."""
    return 1.0 if getattr(make(), "slotwise", False) else LIFT


def logger() -> Policy:
    """The policy whose pages are logged."""
    return Ranked(0, floor=0.8, name="logger")


def target() -> Policy:
    """A policy that ranks by something else."""
    return Ranked(1, floor=0.8, name="target")


def visit(kind: int, user: str = "ann") -> Candidates:
    """What may be shown at one kind of visit; the policies rank by feature 0 and feature 1."""
    features = np.stack([-EARNS[kind], EARNS[kind]], axis=1).astype(np.float32)
    features.setflags(write=False)
    return Candidates(user, ITEMS, features)


def expected_page(kind: int, page: tuple[int, ...], *, lift: float = LIFT) -> Floats:
    """(k,): what the slots of a page earn on average over moods."""
    best = int(EARNS[kind].argmax())
    lifted = [lift if slot and page[slot - 1] == best else 1.0 for slot in range(len(page))]
    return np.asarray(EARNS[kind, list(page)] * lifted)


def slot_chances(policy: Policy, candidates: Candidates, page: tuple[int, ...]) -> Floats:
    """(k,): the probability of every slot of a page, given the slots before it."""
    chances = np.empty(len(page))
    for slot, row in enumerate(page):
        left = [other for other in range(len(candidates)) if other not in page[:slot]]
        pmf = policy.probabilities(candidates.take(left), np.random.default_rng(0))
        chances[slot] = pmf[left.index(row)]
    return chances


def true_value(policy: Policy, k: int, *, lift: float = LIFT) -> float:
    """What the policy earns per page, by enumeration of every page."""
    pages = list(permutations(range(len(ITEMS)), k))
    kinds = range(len(EARNS))
    total = sum(
        float(slot_chances(policy, visit(kind), page).prod() * expected_page(kind, page, lift=lift).sum())
        for kind in kinds
        for page in pages
    )
    return total / len(kinds)


def simulate(policy: Policy, k: int, seed: int, *, users: int = USERS, lift: float = LIFT) -> Log:
    """A log of the policy's pages: users with a mood each, a few visits per user."""
    rng = np.random.default_rng(seed)
    decisions, rewards = [], []
    for user in range(users):
        mood = 1 + MOOD * rng.choice((-1, 1))
        for number in range(VISITS):
            kind = int(rng.integers(len(EARNS)))
            request = Request(f"{seed}/{user}/{number}", TIME)
            decision = decide(policy, visit(kind, f"user-{user}"), k=k, request=request, rng=rng)
            mean = mood * expected_page(kind, tuple(decision.chosen.tolist()), lift=lift)
            decisions.append(decision)
            rewards.append((rng.random(k) < mean / 2).astype(np.float64) * 2)
    return Log(tuple(decisions), tuple(rewards))


def complete_log(k: int, *, lift: float = LIFT) -> Log:
    """Every page of the logger in exact proportion (of 75 per kind of visit), each at its expected reward."""
    pages = [(kind, page) for kind in range(len(EARNS)) for page in permutations(range(len(ITEMS)), k)]
    decisions: list[Decision] = []
    rewards: list[Floats] = []
    for kind, page in pages:
        chances = slot_chances(logger(), visit(kind), page)
        for number in range(WHOLE * round(75 * float(chances.prod()))):
            decisions.append(_decided(kind, page, chances, number=len(decisions), user=number % WHOLE))
            rewards.append(expected_page(kind, page, lift=lift))
    return Log(tuple(decisions), tuple(rewards))


@lru_cache(maxsize=4)
def simulated_logs(k: int, lift: float = LIFT) -> tuple[Log, ...]:
    """Logs of the logger's pages, the same at every call."""
    policy = logger()
    return tuple(simulate(policy, k, seed, lift=lift) for seed in range(LOGS))


def estimate(make: MakeEstimator, log: Log, policy: Policy) -> Estimate:
    """The estimator's answer about a policy."""
    return make().estimate(log.decisions, log.rewards, policy)


def check_on_policy_identity(make: MakeEstimator) -> None:
    """The logging policy as its own target gives the logged mean, and every page counts in full."""
    partial = getattr(make(), "modelled", False)
    for k in (1, 2, 3):
        log = simulate(logger(), k, seed=k, lift=lift_for(make))
        found = estimate(make, log, logger())
        require(found.low < found.value < found.high, "the value must lie inside its interval")
        require(found.n == len(log.decisions), f"n must be {len(log.decisions)}, got {found.n}")
        if partial:
            slack = 0.2 * log.mean
            require(
                abs(found.value - log.mean) < slack,
                f"on-policy must be near {log.mean!r}, got {found.value!r}",
            )
            require(
                0 < found.effective_n <= found.n + 1e-6, f"on-policy effective_n, got {found.effective_n}"
            )
            continue
        require(
            bool(np.isclose(found.value, log.mean, rtol=1e-12)),
            f"on-policy must give the logged mean {log.mean!r}, got {found.value!r}",
        )
        require(
            bool(np.isclose(found.effective_n, found.n)), f"on-policy effective_n, got {found.effective_n}"
        )


def check_value_is_exact_on_a_complete_log(make: MakeEstimator) -> None:
    """A log that holds every page just as often as it is likely, at its expected reward, gives the true value."""
    lift = lift_for(make)
    for k in (1, 2):
        truth = true_value(target(), k, lift=lift)
        found = estimate(make, complete_log(k, lift=lift), target())
        require(
            bool(np.isclose(found.value, truth, rtol=1e-9)),
            f"with k = {k}, a log without chance must give {truth:.6f}, got {found.value:.6f}",
        )


def check_interval_coverage(make: MakeEstimator) -> None:
    """The 95 % interval holds the true value in about 95 of 100 logs, for one slot and for two.

    That of an estimator which is biased by design may hold it more often.
    """
    lift, shares = lift_for(make), []
    most = COVERED[1] if getattr(make(), "unbiased", True) else 1.0
    for k in (1, 2):
        truth = true_value(target(), k, lift=lift)
        found = [estimate(make, log, target()) for log in simulated_logs(k, lift)]
        shares.append(float(np.mean([one.low <= truth <= one.high for one in found])))
    held = f"the 95 % intervals held the true value in {shares[0]:.0%} (one slot) and {shares[1]:.0%} (two)"
    require(min(shares) >= COVERED_EACH and COVERED[0] <= np.mean(shares) <= most, held)


def check_effective_n(make: MakeEstimator) -> None:
    """Off-policy pages are worth fewer than there are, and never less than nothing."""
    log = simulated_logs(2, lift_for(make))[0]
    found = estimate(make, log, target())
    require(0 < found.effective_n < found.n, f"effective_n must lie in 0..{found.n}, got {found.effective_n}")


def check_no_support_raises(make: MakeEstimator) -> None:
    """Nothing logged, next to nothing of the target shown, or what could not be shown at all: never a number."""
    sharp = Ranked(1, floor=0.05, name="sharp")
    never = simulate(Ranked(0, floor=1e-6), 1, seed=0)
    cases = {
        "an empty log": (Log((), ()), sharp),
        "a log that never shows what the target shows": (never, sharp),
        "a log of which a page or two count for all": (simulate(Ranked(0, floor=0.1), 1, seed=0), sharp),
        "a log whose policy could show one item only": (_certain(never), Ranked(0, floor=0.4)),
    }
    for name, (log, policy) in cases.items():
        try:
            found = estimate(make, log, policy)
        except NoSupport:
            continue
        raise LawBroken(f"{name} must raise NoSupport, got {found}")


def check_row_order_is_irrelevant(make: MakeEstimator) -> None:
    """Shuffled pages give the same estimate, to the bit and whatever the target draws."""
    log = simulated_logs(2)[1]
    shuffled = log.take(np.random.default_rng(1).permutation(len(log.decisions)).tolist())
    for policy in (target(), _Drawing()):
        one, other = estimate(make, log, policy), estimate(make, shuffled, policy)
        require(one == other, f"the order of the pages changed the estimate from {one} to {other}")


def check_input_is_unchanged(make: MakeEstimator) -> None:
    """Estimating writes to nothing it was given, and teaches the target nothing."""
    log = simulate(logger(), 2, seed=2)
    copies = [array.copy() for array in _arrays(log)]
    estimate(make, log, _Drawing())
    same = all(np.array_equal(old, new) for old, new in zip(copies, _arrays(log), strict=True))
    require(same, "estimating changed the log")


def check_bad_rewards_are_refused(make: MakeEstimator) -> None:
    """Rewards that are not finite, or not one per slot and page, raise InvalidInput."""
    log = simulated_logs(2)[3]
    first = log.rewards[0]
    bad = [np.array([0.0, value]) for value in (np.nan, np.inf, -np.inf)] + [first[:1], first[None, :]]
    cases = [replace(log, rewards=(one, *log.rewards[1:])) for one in bad]
    for case in (*cases, replace(log, rewards=log.rewards[1:])):
        try:
            found = estimate(make, case, target())
        except InvalidInput:
            continue
        raise LawBroken(f"rewards {case.rewards[0].tolist()} must raise InvalidInput, got {found}")


CHECKS_ESTIMATOR: tuple[EstimatorCheck, ...] = (
    check_on_policy_identity,
    check_value_is_exact_on_a_complete_log,
    check_interval_coverage,
    check_effective_n,
    check_no_support_raises,
    check_row_order_is_irrelevant,
    check_input_is_unchanged,
    check_bad_rewards_are_refused,
)


def _decided(kind: int, page: tuple[int, ...], chances: Floats, *, number: int, user: int) -> Decision:
    request = Request(f"page-{number}", TIME)
    rng = np.random.default_rng(0)
    drawn = decide(logger(), visit(kind, f"user-{user}"), k=len(page), request=request, rng=rng)
    return replace(drawn, chosen=np.array(page), propensities=chances)


class _Drawing(Uniform):
    """A target that needs random numbers to say its distribution, and must not be taught."""

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        shares = rng.random(len(candidates))
        return with_floor(shares / shares.sum(), 0.5)

    def update(self, decision: Decision, rewards: Floats) -> None:
        raise LawBroken("estimating taught the target")


def _certain(log: Log) -> Log:
    """The log as if its policy had not kept a floor."""
    shown = [np.arange(len(ITEMS)) == one.chosen[0] for one in log.decisions]
    return replace(
        log,
        decisions=tuple(
            replace(one, pmf=only.astype(np.float64), propensities=np.ones(1))
            for one, only in zip(log.decisions, shown, strict=True)
        ),
    )


def _arrays(log: Log) -> Iterator[NDArray[Any]]:
    for decision, earned in zip(log.decisions, log.rewards, strict=True):
        yield from (decision.pmf, decision.propensities, decision.plan.scores, earned)
        yield from (decision.chosen, decision.candidates.features)
