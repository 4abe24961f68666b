"""The suite itself is tested: each deliberately broken estimator is caught by the law that it breaks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.checks import estimator as laws
from honeyguide.checks.estimator import CHECKS_ESTIMATOR, EstimatorCheck
from honeyguide.checks.policy import LawBroken
from honeyguide.errors import NoSupport
from honeyguide.evaluate.ope import DR, IIPS, IPS, SNIPS, Answer
from honeyguide.types import Decision, Estimate, Estimator, Floats, Policy

Decisions = Sequence[Decision]
Rewards = Sequence[Floats]


class RawMean(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        return super().estimate(decisions, rewards, None)


class IgnoresPropensities(IPS):
    def ask(self, decision: Decision, target: Policy | None) -> Answer:
        return super().ask(replace(decision, propensities=np.ones(len(decision.chosen))), target)


class IgnoresSlotsBefore(IPS):
    def _weights(self, answer: Answer) -> Floats:
        return answer.ratio


class WeighsSlotsByTheWholePage(IPS):
    def _weights(self, answer: Answer) -> Floats:
        return np.full(len(answer.ratio), len(answer.ratio) * super()._weights(answer)[-1])


class Stretched(SNIPS):
    factor = 1.0

    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        found = super().estimate(decisions, rewards, target)
        half = (found.high - found.low) / 2 * self.factor
        return replace(found, low=found.value - half, high=found.value + half)


class HalfWidth(Stretched):
    factor = 0.5


class ThreeWidths(Stretched):
    factor = 3.0


class ForgetsThatUsersDiffer(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        strangers = [replace(decision, user_id=decision.decision_id) for decision in decisions]
        return super().estimate(strangers, rewards, target)


class ClipsEverything(IPS):
    def __init__(self) -> None:
        super().__init__(clip=1.0)


class NumberInsteadOfNoSupport(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        try:
            return super().estimate(decisions, rewards, target)
        except NoSupport:
            return Estimate(0.0, 0.0, 0.0, len(decisions), 0.0)


class TrustsOnePage(SNIPS):
    def __init__(self) -> None:
        super().__init__(min_effective_n=1.0)


class TrustsEqualWeights(SNIPS):
    def __init__(self) -> None:
        super().__init__(min_mean_weight=0.0)


class IgnoresWhatCouldNotBeShown(IPS):
    def ask(self, decision: Decision, target: Policy | None) -> Answer:
        return super().ask(replace(decision, pmf=np.ones(len(decision.pmf))), target)


class OneStreamForAll(IPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        numbered = [replace(one, decision_id=f"{number:05}") for number, one in enumerate(decisions)]
        return super().estimate(numbered, rewards, target)


class NeverCorrectsItsModel(DR):
    def _counted(self, weights: Floats) -> Floats:
        return np.zeros(len(weights))


class CorrectsTwice(DR):
    def _counted(self, weights: Floats) -> Floats:
        return 2 * weights


class TakesWhatStandsAboveForGiven(IIPS):
    """The ratio given the slots above says what the target would do on this page, not on its own."""

    def _weights(self, answer: Answer) -> Floats:
        return answer.ratio


class LatestCountMost(IPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        found = super().estimate(decisions, rewards, target)
        earned = [one.sum() for one in rewards]
        return replace(found, value=found.value + float(np.average(earned, weights=np.arange(len(earned)))))


class CountsEveryPageInFull(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        found = super().estimate(decisions, rewards, target)
        return replace(found, effective_n=float(found.n))


class CentresInPlace(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        found = super().estimate(decisions, rewards, target)
        for earned in rewards:
            earned -= found.value
        return found


class TeachesTheTarget(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        if target is not None:
            target.update(decisions[0], rewards[0])
        return super().estimate(decisions, rewards, target)


class TakesNanForZero(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        return super().estimate(decisions, [np.nan_to_num(earned) for earned in rewards], target)


class FillsUpRewards(SNIPS):
    def estimate(self, decisions: Decisions, rewards: Rewards, target: Policy | None) -> Estimate:
        filled = [np.resize(earned, len(one.chosen)) for one, earned in zip(decisions, rewards, strict=False)]
        return super().estimate(decisions[: len(filled)], filled, target)


CAUGHT: list[tuple[Callable[[], Estimator], EstimatorCheck]] = [
    (RawMean, laws.check_interval_coverage),
    (RawMean, laws.check_effective_n),
    (IgnoresPropensities, laws.check_on_policy_identity),
    (RawMean, laws.check_value_is_exact_on_a_complete_log),
    (IgnoresSlotsBefore, laws.check_value_is_exact_on_a_complete_log),
    (WeighsSlotsByTheWholePage, laws.check_on_policy_identity),
    (NeverCorrectsItsModel, laws.check_value_is_exact_on_a_complete_log),
    (CorrectsTwice, laws.check_value_is_exact_on_a_complete_log),
    (TakesWhatStandsAboveForGiven, laws.check_value_is_exact_on_a_complete_log),
    (HalfWidth, laws.check_interval_coverage),
    (ThreeWidths, laws.check_interval_coverage),
    (ForgetsThatUsersDiffer, laws.check_interval_coverage),
    (ClipsEverything, laws.check_value_is_exact_on_a_complete_log),
    (NumberInsteadOfNoSupport, laws.check_no_support_raises),
    (TrustsOnePage, laws.check_no_support_raises),
    (TrustsEqualWeights, laws.check_no_support_raises),
    (IgnoresWhatCouldNotBeShown, laws.check_no_support_raises),
    (OneStreamForAll, laws.check_row_order_is_irrelevant),
    (LatestCountMost, laws.check_row_order_is_irrelevant),
    (CountsEveryPageInFull, laws.check_effective_n),
    (CentresInPlace, laws.check_input_is_unchanged),
    (TeachesTheTarget, laws.check_input_is_unchanged),
    (TakesNanForZero, laws.check_bad_rewards_are_refused),
    (FillsUpRewards, laws.check_bad_rewards_are_refused),
]


@pytest.mark.parametrize(
    ("make", "check"),
    [pytest.param(m, c, id=f"{m.__name__}:{c.__name__}") for m, c in CAUGHT],
)
def test_a_broken_estimator_is_caught(make: Callable[[], Estimator], check: EstimatorCheck) -> None:
    with pytest.raises((LawBroken, NoSupport)):
        check(make)


def test_every_law_has_caught_somebody() -> None:
    assert {check for _, check in CAUGHT} == set(CHECKS_ESTIMATOR)
