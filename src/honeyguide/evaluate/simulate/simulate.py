"""A policy meets the people of a season, through the sampler that serves, and learns from what they take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from honeyguide.evaluate.simulate.play import Answer, Bots, Play, Visit
from honeyguide.evaluate.simulate.runs import Run
from honeyguide.evaluate.simulate.seen import time_of
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.types import Decision, Floats, Policy, Progress, State, silent

MakePolicy = Callable[[State], Policy]
"""Makes a policy from the state of a fitted posterior that has met nobody, as `shop.policies.make_policy` does."""


class _Columns:
    """What becomes a run, visit by visit."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._rows: list[tuple[float, ...]] = []
        self._reasons: list[str] = []
        self._decisions: list[Decision] = []
        self._rewards: list[Floats] = []

    def add(self, play: Play, decision: Decision, answer: Answer) -> None:
        """One more page."""
        coming = answer.visit.coming
        self._rows.append(
            (
                coming.person,
                coming.nth,
                coming.day,
                float(answer.rewards.sum()),
                float(answer.expected.sum()),
                play.worth(answer.visit, decision.exploit_rows),
                play.worth(answer.visit, play.best(answer.visit)),
                float(decision.plan.scores[decision.chosen].sum()),
                decision.plan.level,
                answer.discovered,
                float(answer.rewards @ answer.fresh),
            )
        )
        self._reasons.append(decision.plan.reason)
        if self._keep:
            self._decisions.append(decision)
            self._rewards.append(answer.rewards)

    def run(self, policy: str, world: str, seed: int) -> Run:
        """All pages."""
        person, nth, *others = np.array(self._rows).reshape(-1, 11).T
        told = (tuple(self._reasons), tuple(self._decisions), tuple(self._rewards))
        return Run(policy, world, seed, *told, person.astype(np.int64), nth.astype(np.int64), *others)


def simulate(
    shop: SimulatedShop,
    world: World,
    make: MakePolicy,
    state: State,
    *,
    seed: int,
    past: bool = False,
    keep: bool = False,
    bots: Bots | None = None,
    progress: Progress = silent,
) -> Run:
    """Play one season with the policy that `make` makes of `state`; `keep` keeps every decision and its rewards.

    Runs of several policies with one seed meet the same people, who like the same things at the same visits; `bots`
    are some of them who do not like but push something.
    """
    play, policy = Play(shop, world, seed=seed, past=past, bots=bots), make(state)
    columns, waiting = _Columns(keep=keep), dict[str, Decision]()
    while visit := play.next():
        _learn(policy, play, waiting)
        decision = _decide(policy, visit, world, seed)
        waiting[decision.decision_id] = decision
        columns.add(play, decision, play.show(visit, decision.chosen))
        progress(min(round(visit.coming.day), round(world.days)), round(world.days))
    return columns.run(policy.name, world.name, seed)


def _learn(policy: Policy, play: Play, waiting: dict[str, Decision]) -> None:
    for answer in play.told():
        policy.update(waiting.pop(answer.visit.decision_id), answer.rewards)


def _decide(policy: Policy, visit: Visit, world: World, seed: int) -> Decision:
    name = visit.decision_id
    return decide(
        policy,
        visit.candidates,
        k=min(world.k, len(visit.candidates)),
        request=Request(name, time_of(visit.coming.day), surface="simulation"),
        rng=stream(seed, name),
    )
