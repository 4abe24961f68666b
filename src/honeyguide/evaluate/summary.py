"""From runs to results: means with bands, differences to the exploit-only page, levels per week."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from honeyguide.config import Settings
from honeyguide.data.clean import CleaningReport
from honeyguide.data.labels.visits import Visits
from honeyguide.data.table import from_us
from honeyguide.evaluate.replay import PolicyRun, Traffic
from honeyguide.evaluate.results import (
    Band,
    HeadResult,
    Interest,
    LanguageModel,
    LevelWeek,
    MapPoint,
    PolicyResult,
    Promise,
    ReplayReport,
    SequenceLearning,
    TaughtTask,
)
from honeyguide.evaluate.served import Served
from honeyguide.explore.kinds_chosen import PriorQuality
from honeyguide.interests.users import DAY_US
from honeyguide.shop.models import Fitted
from honeyguide.shop.policies import serving
from honeyguide.types import Floats

CAVEAT = (
    "A replay can compare policies fairly, because all of them met the same visits and were paid only for what the "
    "household really bought. It cannot prove that showing an item caused the purchase, that an item nobody "
    "happened to buy would not have been welcome, or how much a live page would earn: it says how well each policy "
    "finds what people were about to want."
)


def summarise(
    runs: Mapping[str, PolicyRun],
    served: Served,
    traffic: Traffic,
    fitted: Fitted,
    cleaning: CleaningReport,
    settings: Settings,
    seconds: tuple[tuple[str, float], ...],
    language: LanguageModel | None = None,
    tasks: tuple[TaughtTask, ...] = (),
    sequence: SequenceLearning | None = None,
    prior: PriorQuality | None = None,
    heads: tuple[HeadResult, ...] = (),
) -> ReplayReport:
    """Everything the report shows."""
    weeks = week_starts(traffic.visits)
    bands = Bands(traffic.visits, len(traffic.users), settings.evaluate.bootstrap, settings.seed)
    greedy = runs["greedy"]
    return ReplayReport(
        shop=settings.name,
        first_day=f"{from_us(int(traffic.visits.time_us[0])):%Y-%m-%d}",
        last_day=f"{from_us(int(traffic.visits.time_us[-1])):%Y-%m-%d}",
        pages=len(traffic),
        users=len(np.unique(traffic.visits.user)),
        k=settings.explore.k,
        epsilon=settings.explore.epsilon,
        caveat=CAVEAT,
        weeks=weeks,
        policies=tuple(policy_result(run, greedy, bands) for run in runs.values()),
        served=serving(settings.explore),
        levels=level_weeks(runs[serving(settings.explore)], traffic.visits, weeks),
        interests=interests(fitted),
        points=map_points(fitted),
        user_id=served.user_id,
        beliefs=served.beliefs,
        examples=served.examples,
        cleaning=cleaning,
        seconds=seconds,
        language=language,
        tasks=tasks,
        sequence=sequence,
        prior=prior,
        heads=heads,
    )


class Bands:
    """Bootstrap bands that resample whole users, the same resamples for every policy."""

    def __init__(self, visits: Visits, users: int, resamples: int, seed: int) -> None:
        self.visits = visits
        self.users = users
        present = np.unique(visits.user)
        rng = np.random.default_rng(seed)
        picks = rng.multinomial(len(present), np.full(len(present), 1 / len(present)), size=resamples)
        self._times = np.zeros((resamples, users))
        self._times[:, present] = picks
        self.week = visits.week - visits.week.min()

    def mean(self, values: Floats) -> Band:
        """The mean over visits (v,)."""
        return self._band(self._ratio(values, np.zeros(len(values), dtype=np.int64), 1))[0]

    def weekly(self, values: Floats) -> tuple[Band, ...]:
        """The mean over the visits of each week."""
        return self._band(self._ratio(values, self.week, int(self.week.max()) + 1))

    def cumulative(self, values: Floats) -> tuple[Band, ...]:
        """The sum over all visits until the end of each week."""
        sums, _ = self._sums(values, self.week, int(self.week.max()) + 1)
        total = np.cumsum(sums, axis=1)
        return self._band((total.sum(axis=0), self._times @ total))

    def _ratio(self, values: Floats, group: NDArray[np.int64], groups: int) -> tuple[Floats, Floats]:
        sums, counts = self._sums(values, group, groups)
        resampled = (self._times @ sums) / np.maximum(self._times @ counts, 1)
        return sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1), resampled

    def _sums(self, values: Floats, group: NDArray[np.int64], groups: int) -> tuple[Floats, Floats]:
        cell = self.visits.user.astype(np.int64) * groups + group
        shape = (self.users, groups)
        sums = np.bincount(cell, weights=values, minlength=self.users * groups).astype(np.float64)
        counts = np.bincount(cell, minlength=self.users * groups).astype(np.float64)
        return sums.reshape(shape), counts.reshape(shape)

    def _band(self, estimate: tuple[Floats, Floats]) -> tuple[Band, ...]:
        value, resampled = estimate
        low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
        return tuple(Band(float(v), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True))


_WITHOUT_EXPECTATIONS = ("uniform", "popularity", "habit")
"""Policies whose scores are no expected rewards."""


def policy_result(run: PolicyRun, greedy: PolicyRun, bands: Bands) -> PolicyResult:
    """One policy's row."""
    difference = run.reward - greedy.reward
    return PolicyResult(
        policy=run.policy,
        title=title(run.policy),
        reward=bands.mean(run.reward),
        discoveries=bands.mean(run.discoveries),
        interests=bands.mean(run.interests),
        versus_greedy=bands.mean(difference),
        weekly_reward=bands.weekly(run.reward),
        cumulative=bands.cumulative(difference),
        promise=_promise(run),
    )


def _promise(run: PolicyRun) -> Promise | None:
    """How its expectations held, of a policy that has any."""
    earned, wanted = float(run.reward.sum()), float(run.offered.sum())
    if run.policy in _WITHOUT_EXPECTATIONS or not earned or not wanted:
        return None
    return Promise(float(run.expected.sum()) / earned, float(run.expected_offered.sum()) / wanted)


def title(policy: str) -> str:
    """The policy's name as a reader understands it."""
    kind, _, level = policy.partition("-")
    if kind == "thompson":
        return f"Fixed level {level}"
    names = {
        "tradeoff": "Honeyguide's trade-off",
        "greedy": "Exploit only",
        "popularity": "Popularity",
        "habit": "What they took most",
        "uniform": "Uniform",
    }
    return names.get(policy, policy)


def level_weeks(run: PolicyRun, visits: Visits, weeks: tuple[str, ...]) -> tuple[LevelWeek, ...]:
    """How the exploration level moved."""
    week = visits.week - visits.week.min()
    rows = []
    for index, start in enumerate(weeks):
        here = week == index
        if not here.any():
            continue
        p10, median, p90 = np.quantile(run.level[here], [0.1, 0.5, 0.9])
        exploit = max(float(run.expected_exploit[here].sum()), 1e-9)
        rows.append(
            LevelWeek(
                week=start,
                p10=float(p10),
                median=float(median),
                p90=float(p90),
                mean=float(run.level[here].mean()),
                expected_cost=1 - float(run.expected[here].sum()) / exploit,
            )
        )
    return tuple(rows)


def week_starts(visits: Visits) -> tuple[str, ...]:
    """The first day of every week of the traffic."""
    first = int(visits.week.min())
    return tuple(
        f"{from_us(visits.origin_us + week * 7 * DAY_US):%Y-%m-%d}"
        for week in range(first, int(visits.week.max()) + 1)
    )


def interests(fitted: Fitted) -> tuple[Interest, ...]:
    """The tree with its places on the map: tops first (numbered after the leaves), then the leaves."""
    tree = fitted.taxonomy
    items = np.bincount(tree.leaf, minlength=len(tree))
    # a leaf counts by what is bought in it: the map shows the shop's business, not its stock list
    bought = np.bincount(tree.leaf, weights=fitted.items.taken, minlength=len(tree))
    leaves = [
        Interest(
            node=leaf,
            name=tree.leaf_names[leaf],
            parent=len(tree) + int(tree.parent[leaf]),
            n_items=int(items[leaf]),
            n_purchases=int(bought[leaf]),
            x=float(tree.layout.leaf_xy[leaf, 0]),
            y=float(tree.layout.leaf_xy[leaf, 1]),
        )
        for leaf in range(len(tree))
    ]
    tops = [_top_interest(fitted, top, leaves) for top in range(len(tree.top_names))]
    return (*(top for top in tops if top.n_items), *(leaf for leaf in leaves if leaf.n_items))


def _top_interest(fitted: Fitted, top: int, leaves: list[Interest]) -> Interest:
    node = len(leaves) + top
    mine = [leaf for leaf in leaves if leaf.parent == node]
    weight = np.array([leaf.n_items for leaf in mine], dtype=np.float64) + 1e-9
    return Interest(
        node=node,
        name=fitted.taxonomy.top_names[top],
        parent=None,
        n_items=sum(leaf.n_items for leaf in mine),
        n_purchases=sum(leaf.n_purchases for leaf in mine),
        x=float(np.average([leaf.x for leaf in mine], weights=weight)) if mine else 0.0,
        y=float(np.average([leaf.y for leaf in mine], weights=weight)) if mine else 0.0,
    )


def map_points(fitted: Fitted) -> tuple[MapPoint, ...]:
    """A sample of the items, each under its top interest."""
    tree = fitted.taxonomy
    top = tree.top[tree.layout.item_rows]
    places = tree.layout.item_xy
    return tuple(
        MapPoint(float(x), float(y), len(tree) + int(t)) for (x, y), t in zip(places, top, strict=True)
    )
