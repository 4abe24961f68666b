"""What would have happened: another policy on the pages that were served, told from the journal alone.

The policy starts from what the fit had learned and learns from the same feedback at the same moments as the one that
served, so that it is never asked about a page with what came of it in mind. What it would have learned from pages of
its own is not told: this is the shop as it was, decided otherwise page by page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from honeyguide.config import Labels
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.ope.asking import Answer
from honeyguide.evaluate.ope.direct import DRos
from honeyguide.evaluate.ope.weighting import IPS
from honeyguide.evaluate.results import Band
from honeyguide.journal.learner import Learner
from honeyguide.journal.protocol import Journal
from honeyguide.types import Decision, Estimate, Floats, Policy, Progress, silent

LEAST_MEASURED = 0.3
"""Where less of what the policy would show was shown often enough, the answer would be the model's alone."""
_BATCH = 500  # records read at once: about 7 MB of decisions

Served = Sequence[tuple[Decision, Floats]]
"""Pages that were served and the (k,) rewards of their slots, final."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a policy would have earned on the pages that were served, in rewarded items per page.

    `gain` is `value` less `served`, paired. `measured` is the share of what it would have shown that was shown often
    enough to count; for the rest a model of rewards was asked, and the intervals allow for its being wrong by half.
    `effective_n` is what the pages are worth under the policy.
    """

    what_if: str
    policy: str
    pages: int
    users: int
    slots: int
    first_day: str
    last_day: str
    served: Band
    value: Band
    gain: Band
    measured: float
    effective_n: float


def policy_name(wanted: str) -> str:
    """The policy that a wish speaks of: `level=0.2` holds the exploration level, `policy=NAME` names any."""
    key, _, value = wanted.partition("=")
    if key == "policy" and value:
        return value
    if key == "level":
        try:
            level = float(value)
        except ValueError:
            level = -1.0
        if 0 <= level < np.inf:
            return f"thompson-{level:g}" if level else "greedy"
    raise InvalidInput(
        f"--what-if must be level=NUMBER or policy=NAME, such as level=0.2 or policy=popularity, got {wanted!r}"
    )


def what_if(
    wanted: str,
    policy: Policy,
    served: Served,
    journal: Journal,
    *,
    start: int,
    labels: Labels,
    slots: int | None = None,
    progress: Progress = silent,
) -> WhatIf:
    """What `policy` would have earned on these pages; it learns from the journal's records after offset `start`.

    `slots` looks at the top of each page only. NoSupport where the pages cannot tell.
    """
    estimator = DRos(slots=slots, min_mean_weight=LEAST_MEASURED)
    answers = _answers(policy, served, journal, start, labels, estimator, progress)
    decisions = [decision for decision, _ in served]
    rewards = [earned for _, earned in served]
    found = estimator.judge(decisions, rewards, answers)
    gain = estimator.gain(decisions, rewards, answers)
    as_served = IPS(slots=slots).estimate(decisions, rewards, None)
    days = sorted(f"{decision.time:%Y-%m-%d}" for decision in decisions)
    return WhatIf(
        what_if=wanted,
        policy=policy.name,
        pages=len(decisions),
        users=len({decision.user_id for decision in decisions}),
        slots=max(len(answer.weight) for answer in answers),
        first_day=days[0],
        last_day=days[-1],
        served=_band(as_served),
        value=_band(found, least=0.0),
        gain=_band(gain, least=-as_served.high),
        measured=estimator.measured(answers),
        effective_n=found.effective_n,
    )


def _answers(
    policy: Policy,
    served: Served,
    journal: Journal,
    start: int,
    labels: Labels,
    estimator: DRos,
    progress: Progress,
) -> list[Answer]:
    """In the order of the pages: what the policy would have done, with what it knew by then."""
    wanted = {decision.decision_id for decision, _ in served}
    window = timedelta(days=labels.window_days)
    learner = Learner(policy, grade=labels.grade, window=window).start_after(start)
    found: dict[str, Answer] = {}
    after, end = start, journal.end()
    # what comes after the last page that is asked about is not read
    while len(found) < len(wanted) and (records := journal.read(after, _BATCH)):
        for record in records:
            entry = record.entry
            if isinstance(entry, Decision) and entry.decision_id in wanted:
                found[entry.decision_id] = estimator.ask(entry, learner.policy)
                progress(record.offset - start, end - start)
            learner.fold(record, journal)
        after = records[-1].offset
    return [found[decision.decision_id] for decision, _ in served]


def _band(found: Estimate, *, least: float = -np.inf) -> Band:
    return Band(found.value, max(found.low, least), found.high)
