"""Whether the answers to `evaluate --what-if` are honest: simulated seasons, where what would have happened is known.

A season is served by the controller. Beside it stand other policies that learn from the same feedback at the same
moments, as `--what-if` has it. At each visit they are asked for `DRos`, and draw pages whose true worth is noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from honeyguide.config import Explore
from honeyguide.errors import NoSupport
from honeyguide.evaluate.ope import Answer, DRos
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.play import Play
from honeyguide.evaluate.simulate.seen import time_of
from honeyguide.evaluate.simulate.warm import warm_start
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.evaluate.what_if import LEAST_MEASURED
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.shop.policies import make_policy
from honeyguide.types import Decision, Floats, Policy, State

SERVED = "tradeoff"
ASKED = ("greedy", "thompson-0.2", "thompson-1", "popularity")
DOUBTS = (0.0, 0.25, 0.5)
PAGES = 2  # of a target, drawn at each visit to know what they are worth
_SMALL = World("", days=60.0, users=60, visits=8.0, candidates=40, k=5)
SEASONS = (
    replace(_SMALL, name="stationary"),
    replace(_SMALL, name="arrivals", new_items=0.3),
    replace(_SMALL, name="drift", drift=0.3),
    replace(_SMALL, name="position bias, boredom", position_bias=0.5, boredom=1.0),
)


@dataclass(frozen=True)
class Told:
    """What was told of one policy on one season, of its value or of its `gain` over what was served, per page.

    The ends are those of an interval without doubt; `unmeasured` is what the model was taken at its word for.
    """

    world: str
    policy: str
    what: str
    truth: float
    value: float
    low: float
    high: float
    unmeasured: float

    def holds(self, doubt: float) -> bool:
        """Whether the truth lies within, where the model is doubted by so much."""
        allowed = doubt * self.unmeasured
        return self.low - allowed <= self.truth <= self.high + allowed

    def width(self, doubt: float) -> float:
        """How wide the interval is then."""
        return self.high - self.low + 2 * doubt * self.unmeasured


@dataclass(frozen=True, eq=False)
class _Asked:
    policy: Policy
    answers: list[Answer]
    worth: list[float]


@dataclass(frozen=True, eq=False)
class _Season:
    decisions: list[Decision]
    rewards: list[Floats]
    worth: list[float]
    asked: dict[str, _Asked]


def told_of(world: World, seeds: Sequence[int]) -> Iterator[Told]:
    """What is told of every policy on each season; those that cannot be told of are left out."""
    shop = planted_shop(seed=0)
    state = warm_start(shop, world, seed=0)
    for seed in seeds:
        season = _season(Play(shop, world, seed=seed), world, state, seed)
        for name, one in season.asked.items():
            with suppress(NoSupport):
                yield from _told(world.name, name, one, season)


def _told(world: str, name: str, one: _Asked, season: _Season) -> Iterator[Told]:
    sure, doubting = (DRos(doubt=doubt, min_mean_weight=LEAST_MEASURED) for doubt in (0.0, 1.0))
    log = season.decisions, season.rewards, one.answers
    value, gain = sure.judge(*log), sure.gain(*log)
    unmeasured = doubting.judge(*log).high - value.high
    earned, served = float(np.mean(one.worth)), float(np.mean(season.worth))
    for what, found, truth in (("value", value, earned), ("gain", gain, earned - served)):
        yield Told(world, name, what, truth, found.value, found.low, found.high, unmeasured)


def _season(play: Play, world: World, state: State, seed: int) -> _Season:
    served = _made(SERVED, state)
    asked = {name: _Asked(_made(name, state), [], []) for name in ASKED}
    decisions: dict[str, Decision] = {}
    rewards: list[Floats] = []
    worth: list[float] = []
    estimator = DRos()
    while visit := play.next():
        for answer in play.told():
            for policy in (served, *(one.policy for one in asked.values())):
                policy.update(decisions[answer.visit.decision_id], answer.rewards)
        name = visit.decision_id
        request = Request(name, time_of(visit.coming.day))
        decision = decide(served, visit.candidates, k=world.k, request=request, rng=stream(seed, name))
        for one in asked.values():
            one.answers.append(estimator.ask(decision, one.policy))
            drawn = (
                decide(
                    one.policy, visit.candidates, k=world.k, request=request, rng=stream(seed, f"{name}:{i}")
                )
                for i in range(PAGES)
            )
            one.worth.append(float(np.mean([play.worth(visit, page.chosen) for page in drawn])))
        decisions[name] = decision
        answer = play.show(visit, decision.chosen)
        rewards.append(answer.rewards)
        worth.append(float(answer.expected.sum()))
    return _Season(list(decisions.values()), rewards, worth, asked)


def _made(name: str, state: State) -> Policy:
    return make_policy(name, state, Explore(), seed=0)


def seasons(seeds: int) -> list[Told]:
    """What is told of policies on simulated seasons."""
    return [told for world in SEASONS for told in told_of(world, range(1, seeds + 1))]


def show_seasons(found: Sequence[Told]) -> None:
    """How often the truth lay within, and how wide that is beside the truth, by how much the model is doubted."""
    print(
        f"\n{'season':<24}{'asked for':<9}{'answers':>8}{'off by':>8}"
        + f"{'doubt':>11} {'held, width':<15}" * 3
    )
    for world, what in dict.fromkeys((told.world, told.what) for told in found):
        mine = [told for told in found if (told.world, told.what) == (world, what)]
        off = float(np.mean([told.value - told.truth for told in mine]))
        line = f"{world:<24}{what:<9}{len(mine):>8}{off:>+8.3f}"
        for doubt in DOUBTS:
            held = np.mean([told.holds(doubt) for told in mine])
            width = np.mean([told.width(doubt) for told in mine])
            line += f"{doubt:>11g} {f'{held:.0%}, {width:.3f}':<15}"
        print(line)
