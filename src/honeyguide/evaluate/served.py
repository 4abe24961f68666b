"""A look back at the served policy: one user before and after, and some decisions as they were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.data.table import from_us
from honeyguide.data.text import calm
from honeyguide.evaluate.replay import PolicyRun, Replay
from honeyguide.evaluate.results import Band, ExampleDecision, InterestBelief, ShownItem
from honeyguide.explore.shared import posterior_of
from honeyguide.shop.beliefs import Beliefs, UserInterest
from honeyguide.types import Decision

EXAMPLES = 10
INTERESTS_SHOWN = 14


@dataclass(frozen=True, slots=True)
class Served:
    """What the report shows of the served policy."""

    user_id: str
    beliefs: tuple[InterestBelief, ...]
    examples: tuple[ExampleDecision, ...]


def look_back(replay: Replay, run: PolicyRun) -> Served:
    """The user with the most rewarded items, and decisions at even steps through the traffic.

    Every other one is taken from the pages whose level was above 0, where there are any: most pages of a shop
    that knows its users explore nothing, and a reader wants to see both.
    """
    traffic = replay.traffic
    earned = np.bincount(traffic.visits.user, weights=run.reward, minlength=len(traffic.users))
    user = traffic.users[int(earned.argmax())]
    return Served(user, _beliefs(replay, user), tuple(_example(replay, visit) for visit in _chosen(run)))


def _chosen(run: PolicyRun) -> list[int]:
    everything = np.arange(len(run.level))
    exploring = np.flatnonzero(run.level > 0)
    steps = np.linspace(0, 1, min(EXAMPLES, len(everything)))
    pools = (everything, exploring if len(exploring) else everything)
    chosen = {
        int(pools[turn % 2][round(step * (len(pools[turn % 2]) - 1))]) for turn, step in enumerate(steps)
    }
    return sorted(chosen)


def _beliefs(replay: Replay, user: str) -> tuple[InterestBelief, ...]:
    fitted, model = replay.fitted, replay.model
    reader = Beliefs(model, fitted)
    first = posterior_of(fitted.policy_state)
    last = posterior_of(replay.learner.policy.state())
    start_us, end_us = fitted.until_us, int(replay.traffic.visits.time_us[-1])
    old = fitted.histories.get(user, model.start())
    new = replay.history(user)
    before = {interest.leaf: interest for interest in reader.of(first, user, old, start_us)}
    after = {interest.leaf: interest for interest in reader.of(last, user, new, end_us)}
    revealed = {leaf: _touches(replay, new, leaf) - _touches(replay, old, leaf) for leaf in after}
    moved = sorted(after, key=lambda leaf: -max(before[leaf].mean, after[leaf].mean))[:INTERESTS_SHOWN]
    return tuple(
        InterestBelief(after[leaf].name, _band(before[leaf]), _band(after[leaf]), round(revealed[leaf]))
        for leaf in moved
    )


def _touches(replay: Replay, history: object, leaf: int) -> float:
    rows, weight = history.rows, history.weight  # type: ignore[attr-defined]
    return float(weight[replay.model.items.leaf[rows] == leaf].sum() / 1000)


def _band(interest: UserInterest) -> Band:
    return Band(interest.mean, interest.low, interest.high)


def _example(replay: Replay, visit: int) -> ExampleDecision:
    traffic = replay.traffic
    user = traffic.users[int(traffic.visits.user[visit])]
    time_us = int(traffic.visits.time_us[visit])
    decision = replay.journal.decision(f"{user}@{time_us}")
    return ExampleDecision(
        decision_id=decision.decision_id,
        time=f"{from_us(time_us):%Y-%m-%d %H:%M}",
        user_id=user,
        level=decision.plan.level,
        reason=decision.plan.reason,
        items=tuple(_shown(replay, visit, decision, slot) for slot in range(len(decision.chosen))),
    )


def _shown(replay: Replay, visit: int, decision: Decision, slot: int) -> ShownItem:
    catalog, found = replay.fitted.catalog, replay.traffic.outcomes
    part = slice(*found.starts[visit : visit + 2])
    row = catalog.row(decision.item_ids[slot])
    hit = np.flatnonzero(found.item[part] == row)
    return ShownItem(
        item_id=decision.item_ids[slot],
        text=calm(catalog.titles[row]) or catalog.texts[row],
        why=decision.why[slot],
        propensity=float(decision.propensities[slot]),
        # a linear model may expect more than the reward's range; a page earns at most 1 a slot
        expected=float(np.clip(decision.plan.scores[decision.chosen[slot]], 0.0, 1.0)),
        explored=bool(decision.explored[slot]),
        reward=float(found.reward[part][hit[0]]) if len(hit) else 0.0,
        discovery=bool(found.discovery[part][hit[0]]) if len(hit) else False,
    )
