"""The suite itself is tested: each deliberately broken policy is caught by the law that it breaks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from honeyguide.checks import policy as laws
from honeyguide.checks.policy import LawBroken, PolicyCheck
from honeyguide.errors import InvalidInput
from honeyguide.explore.decide import decide
from honeyguide.explore.posterior import Prior, UserPosterior, check_rewards
from honeyguide.explore.thompson import Thompson
from honeyguide.types import Candidates, Decision, Floats, Plan, Policy, State


class Base(Thompson):
    """A sound policy, broken below in one way at a time."""

    def __init__(
        self,
        posterior: UserPosterior | None = None,
        *,
        level: float = 1.0,
        floor: float = 0.05,
        draws: int = 64,
        name: str | None = None,
    ) -> None:
        super().__init__(
            posterior or UserPosterior(Prior.isotropic(laws.DIM, variance=0.7)),
            level=level,
            floor=floor,
            draws=draws,
            name=name,
        )


class GlobalRandomness(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        moved = np.random.default_rng(np.random.randint(1 << 30))  # noqa: NPY002
        return super().probabilities(candidates, moved, level=level)


class NeverLearns(Base):
    def update(self, decision: Decision, rewards: Floats) -> None:
        check_rewards(rewards, len(decision.chosen))


class FirstFavoured(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        pmf = super().probabilities(candidates, rng, level=level)
        pmf[0] += 0.3
        return np.asarray(pmf / pmf.sum())


class NoFloor(Base):
    def __init__(self, posterior: UserPosterior | None = None, **settings: Any) -> None:
        super().__init__(posterior, **settings)
        self.floor = 0.0


class SumsToMore(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        return super().probabilities(candidates, rng, level=level) * 1.01


class SinglePrecision(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        return super().probabilities(candidates, rng, level=level).astype(np.float32)


class HalfPrecisionState(Base):
    def state(self) -> State:
        state = super().state()
        return {**state, "prior.covariance": state["prior.covariance"].astype(np.float16)}


class RestoredWithWrongNoise(Base):
    @classmethod
    def from_state(cls, state: State) -> Self:
        return super().from_state({**state, "prior.noise_variance": state["prior.noise_variance"] * 2})


class TakesNanForZero(Base):
    def update(self, decision: Decision, rewards: Floats) -> None:
        super().update(decision, np.nan_to_num(rewards, posinf=0.0))


class TouchedBeforeRefused(Base):
    def update(self, decision: Decision, rewards: Floats) -> None:
        first = decision.only([0])
        super().update(first, rewards.ravel()[:1])
        check_rewards(rewards, len(decision.chosen))
        super().retract(first, rewards[:1])
        super().update(decision, rewards)


class FlippedSign(Base):
    def update(self, decision: Decision, rewards: Floats) -> None:
        super().update(decision, -rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        super().retract(decision, -rewards)


class AskingLearns(Base):
    def plan(self, candidates: Candidates) -> Plan:
        self.posterior.observe(candidates.user_id, candidates.features[:1], np.array([0.1]))
        return super().plan(candidates)


class NormalisesInPlace(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        if candidates.features.flags.writeable:
            candidates.features[:] = candidates.features * 0.5
        return super().probabilities(candidates, rng, level=level)


class DecaysPerUpdate(Base):
    def update(self, decision: Decision, rewards: Floats) -> None:
        seen = sum(int(stats[0, 0]) for stats in self.posterior._stats.values())
        super().update(decision, np.clip(rewards * (1.0 if seen == 0 else 0.9), -1, 1))


class RetractsTooLittle(Base):
    def retract(self, decision: Decision, rewards: Floats) -> None:
        super().retract(decision.only([0]), rewards[:1])


class ForgetsOnlyTheMean(Base):
    def forget(self, user_id: str) -> None:
        if user_id in self.posterior._stats:
            self.posterior._stats[user_id][:, -1] = 0


class IgnoresTheLevelGiven(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        return super().probabilities(candidates, rng, level=None if level is None else level * 0.3)


class ExploresAtZero(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        return super().probabilities(candidates, rng, level=0.3 if level == 0 else level)


class AnswersOtherwiseOnPages(Base):
    """What it says is changed, but not what it inherits for pages: those would be drawn from something else."""

    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        pmf = super().probabilities(candidates, rng, level=level)
        return (pmf + 1 / len(pmf)) / 2


class WidensWithTime(Base):
    def probabilities(self, candidates: Candidates, rng: Any, *, level: float | None = None) -> Floats:
        seen = sum(abs(int(stats[0, 0])) for stats in self.posterior._stats.values()) * 2.0**-32
        pmf = super().probabilities(candidates, rng, level=level)
        even = min(0.9, seen / 100)
        return (1 - even) * pmf + even / len(pmf)


CAUGHT: list[tuple[Callable[[int], Policy], PolicyCheck]] = [
    (lambda dim: GlobalRandomness(), laws.check_rng_is_the_only_randomness),
    (lambda dim: NeverLearns(), laws.check_learns),
    (lambda dim: FirstFavoured(), laws.check_candidate_order_is_irrelevant),
    (lambda dim: NoFloor(level=0.0), laws.check_support),
    (lambda dim: SumsToMore(), laws.check_pmf),
    (lambda dim: SinglePrecision(), laws.check_pmf),
    (lambda dim: HalfPrecisionState(), laws.check_state_round_trip),
    (lambda dim: RestoredWithWrongNoise(), laws.check_state_round_trip),
    (lambda dim: TakesNanForZero(), laws.check_bad_input_leaves_no_trace),
    (lambda dim: TouchedBeforeRefused(), laws.check_bad_input_leaves_no_trace),
    (lambda dim: FlippedSign(), laws.check_learns),
    (lambda dim: AskingLearns(), laws.check_asking_never_learns),
    (lambda dim: NormalisesInPlace(), laws.check_asking_never_learns),
    (lambda dim: DecaysPerUpdate(), laws.check_update_order_is_irrelevant),
    (lambda dim: RetractsTooLittle(), laws.check_retract_undoes_update),
    (lambda dim: ForgetsOnlyTheMean(), laws.check_forgotten_user_was_never_there),
    (lambda dim: IgnoresTheLevelGiven(), laws.check_level_is_obeyed),
    (lambda dim: ExploresAtZero(), laws.check_level_0_is_exploit_only),
    (lambda dim: AnswersOtherwiseOnPages(), laws.check_pages_are_its_own_answers),
    (lambda dim: WidensWithTime(), laws.check_exploration_does_not_grow),
    (lambda dim: GlobalRandomness(), laws.check_determinism),
]


@pytest.mark.parametrize(
    ("make", "check"), [pytest.param(m, c, id=f"{type(m(0)).__name__}:{c.__name__}") for m, c in CAUGHT]
)
def test_a_broken_policy_is_caught(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    with pytest.raises((LawBroken, InvalidInput)):
        check(make)


def test_the_sound_policy_passes_what_the_broken_ones_fail() -> None:
    for check in {check for _, check in CAUGHT}:
        check(lambda dim: Base())


# The sampler is the other half of the contract: broken samplers are caught by the laws about draws.


def logs_even_odds(decision: Decision) -> Decision:
    return replace(decision, propensities=np.full(len(decision.chosen), 1 / len(decision.candidates)))


def logs_the_first_slot(decision: Decision) -> Decision:
    return replace(decision, propensities=decision.pmf[decision.chosen])


def shows_twice(decision: Decision) -> Decision:
    return replace(decision, chosen=np.repeat(decision.chosen[:1], len(decision.chosen)))


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (logs_even_odds, laws.check_slots_are_conditional),
        (logs_the_first_slot, laws.check_slots_are_conditional),
        (shows_twice, laws.check_slate),
    ],
)
def test_a_broken_sampler_is_caught(
    broken: Callable[[Decision], Decision], check: PolicyCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = decide
    monkeypatch.setattr(laws, "decide", lambda *a, **k: broken(sound(*a, **k)))
    with pytest.raises((LawBroken, InvalidInput)):
        check(lambda dim: Base(floor=0.3))


def test_a_sampler_that_shows_the_best_and_logs_the_pmf_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "draw", lambda pmf, rng: int(pmf.argmax()))
    with pytest.raises(LawBroken, match="chi-square"):
        laws.check_sampling_matches_pmf(lambda dim: Base())


def test_a_sampler_that_always_shows_the_best_is_biased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.explore.decide.draw", lambda pmf, rng: int(pmf.argmax()))
    with pytest.raises(LawBroken, match="1/p"):
        laws.check_inverse_propensity_is_unbiased(lambda dim: Base(floor=0.3))
