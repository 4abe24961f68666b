"""A look back at the served policy: one user before and after, and some decisions as they were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.data.table import from_us
from honeyguide.evaluate.replay import PolicyRun, Replay
from honeyguide.evaluate.results import Band, ExampleDecision, InterestBelief, ShownItem
from honeyguide.explore.posterior import UserPosterior
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
    """The user with the most rewarded items, and decisions at even steps through the traffic."""
    traffic = replay.traffic
    earned = np.bincount(traffic.visits.user, weights=run.reward, minlength=len(traffic.users))
    user = traffic.users[int(earned.argmax())]
    chosen = np.linspace(0, len(traffic) - 1, min(EXAMPLES, len(traffic))).astype(int)
    return Served(user, _beliefs(replay, user), tuple(_example(replay, int(visit)) for visit in chosen))


def _beliefs(replay: Replay, user: str) -> tuple[InterestBelief, ...]:
    fitted, model = replay.fitted, replay.model
    reader = Beliefs(model, fitted)
    first = UserPosterior.from_state(fitted.policy_state)
    last = UserPosterior.from_state(replay.learner.policy.state())
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
        time=from_us(time_us).isoformat(),
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
        text=catalog.texts[row],
        why=decision.why[slot],
        propensity=float(decision.propensities[slot]),
        expected=float(decision.plan.scores[decision.chosen[slot]]),
        explored=bool(decision.explored[slot]),
        reward=float(found.reward[part][hit[0]]) if len(hit) else 0.0,
        discovery=bool(found.discovery[part][hit[0]]) if len(hit) else False,
    )
