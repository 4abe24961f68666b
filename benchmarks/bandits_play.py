"""Seasons that Vowpal Wabbit plays and ours plays, people and logs the same, and the search for VW's best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from bandits_vw import Configuration, Learner, Wabbit, near, some_learner, some_settings
from honeyguide.config import Explore
from honeyguide.evaluate.simulate.play import Play
from honeyguide.evaluate.simulate.seen import time_of
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.warm import learned_from, logged_season
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.explore.learned import unlearned_posterior
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.shop.policies import like, make_policy
from honeyguide.types import Decision, Floats, Policy, State

Page = tuple[int, Decision, Floats]
"""Whose page it was, what was shown, and what it earned."""
Log = Sequence[Page]
TUNING = 10_000
"""Seeds from here on are for choosing configurations; those below are reported."""
LEARNERS, SETTINGS, FINAL = 3, 3, 3
"""How many of the best learners each explorer tries, with how many settings, and how many go on to another seed."""

REFITTED_AT = (400, 800)
"""Pages after which a shop that began with nothing is fitted anew; of fewer a fit learns less than they taught."""

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is played: a shop, a world, and the log of an earlier season; without one both sides start cold."""

    shop: SimulatedShop
    world: World
    log: Log

    @classmethod
    def warm(cls, shop: SimulatedShop, world: World, *, past: int) -> Self:
        """With the log of a season of `past` other people, the one that ours learns its prior from."""
        run = logged_season(shop, replace(world, users=past), seed=0)
        return cls(shop, world, tuple(zip(run.person.tolist(), run.decisions, run.rewards, strict=True)))

    def prior(self) -> State:
        """What ours starts with: a prior learned from the log, or without one that which knows nothing."""
        return self.learned(self.log) if self.log else _knows_nothing(self.shop)

    def learned(self, log: Log) -> State:
        """A posterior that has met nobody, with a prior learned from pages."""
        people, decisions, rewards = zip(*log, strict=True)
        page = float(self.world.k)
        return learned_from(self.shop, np.array(people), decisions, rewards, seed=0, page=page)

    def policy(self, name: str, state: State, seed: int) -> Policy:
        """A policy of ours."""
        explore = Explore(k=self.world.k, candidates=self.world.candidates)
        return make_policy(name, state, explore, seed=seed, like=like(self.shop.facts))

    def theirs(self, rival: Wabbit, seed: int) -> Floats:
        """(v,): what VW's pages of a season earn in expectation, visit by visit."""
        play = Play(self.shop, self.world, seed=seed)
        rival.begin(seed)
        expected = []
        while visit := play.next():
            told = [(answer.visit.decision_id, answer.rewards) for answer in play.told()]
            k = min(self.world.k, len(visit.candidates))
            chosen = rival.page(visit.decision_id, visit.candidates, k, told)
            expected.append(float(play.show(visit, chosen).expected.sum()))
        return np.array(expected)

    def ours(self, name: str, state: State, seed: int) -> Floats:
        """(v,): the same of a policy of ours."""
        make = partial(self.policy, name, seed=seed)
        return simulate(self.shop, self.world, make, state, seed=seed).expected

    def refitting(self, name: str, seed: int) -> Floats:
        """(v,): the same of a shop that begins with nothing and is fitted anew when its log has doubled."""
        play, policy = Play(self.shop, self.world, seed=seed), self.policy(name, self.prior(), seed)
        log, waiting, expected = list[Page](), dict[str, Decision](), list[float]()
        while visit := play.next():
            for answer in play.told():
                decision = waiting.pop(answer.visit.decision_id)
                policy.update(decision, answer.rewards)
                log.append((answer.visit.coming.person, decision, answer.rewards))
                if len(log) in REFITTED_AT:
                    policy = self.policy(name, self.learned(log), seed)
                    for _, known, rewards in log:
                        policy.update(known, rewards)
            name_of, k = visit.decision_id, min(self.world.k, len(visit.candidates))
            request = Request(name_of, time_of(visit.coming.day), surface="simulation")
            decision = decide(policy, visit.candidates, k=k, request=request, rng=stream(seed, name_of))
            waiting[name_of] = decision
            expected.append(float(play.show(visit, decision.chosen).expected.sum()))
        return np.array(expected)


def _knows_nothing(shop: SimulatedShop) -> State:
    dim = len(BEHAVIOUR) + int(shop.facts.vectors.shape[1])
    return unlearned_posterior(dim).state()


@dataclass(frozen=True, slots=True)
class Tried:
    """What a configuration earned in the seasons that it was chosen by."""

    configuration: Configuration
    earned: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of a season."""
        return float(np.mean(self.earned))


class Tuning:
    """Looks for the configuration of each explorer that earns most, on seeds that are not reported.

    Learners are tried first, as epsilon-greedy: VW's own defaults, some at random, and as many near the best so far.
    Then each explorer tries settings on the best of them; what did best goes on to a second season.
    """

    def __init__(self, setting: Setting, *, tries: int, seed: int, announce: Announce) -> None:
        self.setting = setting
        self.tries = tries
        self.tried: list[Tried] = []
        self._rng = np.random.default_rng(seed)
        self._announce = announce

    def run(self, explorers: Sequence[str]) -> list[Tried]:
        """The best of each explorer, the best of all first."""
        first: list[Tried] = []
        for nth in range(self.tries):
            first.append(self._try(Configuration("epsilon-greedy", "--epsilon 0.01", self._next(nth, first))))
        best = [each.configuration.learner for each in sorted(first, key=_worst_first)[-LEARNERS:]]
        found = [self._best_of(name, best) for name in explorers]
        return sorted(found, key=_worst_first)[::-1]

    def _next(self, nth: int, tried: Sequence[Tried]) -> Learner:
        if not tried:
            return Learner()
        if nth <= self.tries // 2:
            return some_learner(self._rng)
        return near(max(tried, key=_worst_first).configuration.learner, self._rng)

    def _best_of(self, explorer: str, learners: Sequence[Learner]) -> Tried:
        asked = {
            Configuration(explorer, some_settings(explorer, self._rng), learner)
            for learner in learners
            for _ in range(SETTINGS)
        }
        ordered = sorted(asked, key=lambda each: each.arguments)
        found = sorted((self._try(each) for each in ordered), key=_worst_first)[-FINAL:]
        again = [self._try(each.configuration, each.earned) for each in found]
        return max(again, key=_worst_first)

    def _try(self, configuration: Configuration, before: tuple[float, ...] = ()) -> Tried:
        with Wabbit(configuration) as rival:
            rival.warm([(decision, rewards) for _, decision, rewards in self.setting.log])
            earned = float(self.setting.theirs(rival, TUNING + len(before)).sum())
        self.tried.append(Tried(configuration, (*before, earned)))
        self._announce(f"{earned:8.1f}  {configuration.arguments}")
        return self.tried[-1]


def _worst_first(tried: Tried) -> float:
    return tried.mean
