"""How many kinds of users there are, and whether it helps to know how they lean: chosen on users held out.

More kinds, or a leaning, are taken where the rewards of users who were not learned from become clearly likelier, by
more than twice the standard error of the gain. So a shop whose users are of one kind gets one Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from honeyguide.explore.kinds import Kinds
from honeyguide.explore.kinds_leaning import Leaner, Reads
from honeyguide.explore.posterior import Prior
from honeyguide.explore.prior import Pull, UserSums, foresee, learn_kinds, learn_prior, weigh
from honeyguide.types import Floats, Progress, Rows, silent

COUNTS = (2, 3, 4, 6, 8)
STRENGTHS = (10.0, 100.0)
RIDGES = (1.0, 3.0, 10.0, 30.0)
BREADTHS = (0.001, 0.1, 0.3, 1.0)
_FEWEST = 40
"""Users that there have to be: with fewer, half of them say nothing about the other half."""
_MOST = 4000
"""Users that choose: more of them would say the same, later."""
_CLEARLY = 2.0
_TRIED, _LEARNED, _LOOKS = 20, 30, 10  # rounds: of what is tried, of what is kept, of grouping to begin with


@dataclass(frozen=True, slots=True)
class Foresight:
    """How well a prior foresaw the rewards of users who were held out.

    `likelihood` is their log likelihood per page, in nats; `covered` the share of users whose mean reward lay within
    the central 90 % of what was foreseen of them.
    """

    likelihood: float
    covered: float


@dataclass(frozen=True, slots=True)
class PriorQuality:
    """Why a prior was chosen: its foresight of `users` who were held out, against one Gaussian's.

    `leaning` is None where it did not help to know what users had done before. `kinds` are the strangers' alone.
    """

    users: int
    count: int
    """How many kinds there are."""
    one: Foresight
    kinds: Foresight
    leaning: Foresight | None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """What was stored with `asdict`."""
        found = {name: stored[name] and Foresight(**stored[name]) for name in ("one", "kinds", "leaning")}
        return cls(users=stored["users"], count=stored["count"], **found)


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The prior of strangers, what tells how others lean, and what was found on users held out."""

    kinds: Kinds
    leaner: Leaner | None
    quality: PriorQuality | None


@dataclass(frozen=True, slots=True, eq=False)
class _Halves:
    """Users to learn from and users to judge by, with the one Gaussian of the former."""

    learned: UserSums
    judged: UserSums
    one: Prior


def choose_kinds(
    sums: UserSums,
    reads: Reads | None,
    *,
    seed: int,
    page: float = 1.0,
    centred: bool = False,
    progress: Progress = silent,
) -> Chosen:
    """The prior that foresees users who were held out best, learned then from all.

    `reads` say what users had done before their first page. Where a sequence model read them it had learned from what
    the users did on those pages, too: its part is judged a little better than a new user's will be. `page` is how
    many items a page had to choose among, for the likelihood per page.
    """
    one = learn_prior(sums, centred=centred, progress=progress)
    if len(sums) < _FEWEST:
        return Chosen(one, None, None)
    users = np.random.default_rng(seed).permutation(len(sums))[:_MOST]
    learned, judged = np.sort(users[::2]), np.sort(users[1::2])
    part = sums.of_users(learned)
    halves = _Halves(part, sums.of_users(judged), learn_prior(part, centred=centred))
    if centred:
        breadth = _breadth(halves)
        one, halves = _times(one, breadth), replace(halves, one=_times(halves.one, breadth))
    tried, strength = _tried(halves, seed)
    alone, strange = foresee(halves.judged, halves.one), foresee(halves.judged, tried)
    ridge, leaning = None, None
    if reads is not None and reads.known[learned].any():
        ridge, leaning = _ridge(halves, tried, reads.of_users(learned), reads.of_users(judged), strange[0])
    pages = float(halves.judged.n.sum()) / page
    quality = PriorQuality(
        users=len(judged),
        count=len(tried),
        one=_foresight(alone, pages),
        kinds=_foresight(strange, pages),
        leaning=None if leaning is None else _foresight(leaning, pages),
    )
    kinds: Kinds = one
    if len(tried) > 1:
        shares = first_shares(sums, one, len(tried), seed)
        kinds = learn_kinds(sums, Pull(one, strength), shares, rounds=_LEARNED)
    if ridge is None or reads is None:
        return Chosen(kinds, None, quality)
    leaner = Leaner.learn(sums, kinds, reads, ridge)
    return Chosen(leaner.kinds, leaner, quality)


def _breadth(halves: _Halves) -> float:
    """How much of the learned covariance to believe: no more than makes users who were held out clearly likelier."""
    found, best = 0.0, np.empty(0)
    for breadth in BREADTHS:
        judged = foresee(halves.judged, _times(halves.one, breadth))[0]
        if not found or _clearly(judged - best):
            found, best = breadth, judged
    return found


def _times(prior: Prior, breadth: float) -> Prior:
    return Prior(prior.means[0], breadth * prior.covariances[0], prior.noise_variance)


def first_shares(sums: UserSums, one: Prior, count: int, seed: int) -> Floats:
    """(u, k): users in groups by what one Gaussian makes of their weights (k-means), each mostly of its own."""
    _, means = weigh(sums, one)
    away = np.linalg.solve(np.linalg.cholesky(one.covariance), (means[:, 0] - one.mean).T).T
    nearest = _grouped(away, count, np.random.default_rng(seed))
    return 0.9 * np.eye(count)[nearest] + 0.1 / count


def _tried(halves: _Halves, seed: int) -> tuple[Kinds, float]:
    """The kinds that the halves speak for, and how strongly they are held together."""
    best: Kinds = halves.one
    strengths: tuple[float, ...] = STRENGTHS
    found = foresee(halves.judged, best)[0]
    for count in COUNTS:
        shares = first_shares(halves.learned, halves.one, count, seed)
        ways = [learn_kinds(halves.learned, Pull(halves.one, s), shares, rounds=_TRIED) for s in strengths]
        judged = [foresee(halves.judged, kinds)[0] for kinds in ways]
        at = int(np.argmax([each.mean() for each in judged]))
        if not _clearly(judged[at] - found):
            break
        best, found, strengths = ways[at], judged[at], (strengths[at],)
    return best, strengths[0]


def _ridge(
    halves: _Halves, kinds: Kinds, learned: Reads, judged: Reads, strange: Floats
) -> tuple[float | None, tuple[Floats, Floats] | None]:
    """The ridge with which leanings help most, and what is foreseen then; None if none helps."""
    ways = [
        Leaner.learn(halves.learned, kinds, learned, ridge).foresee(halves.judged, judged) for ridge in RIDGES
    ]
    at = int(np.argmax([likelihood.mean() for likelihood, _ in ways]))
    return (RIDGES[at], ways[at]) if _clearly(ways[at][0] - strange) else (None, None)


def _foresight(found: tuple[Floats, Floats], pages: float) -> Foresight:
    likelihood, place = found
    return Foresight(float(likelihood.sum() / pages), float((np.abs(place - 0.5) <= 0.45).mean()))


def _clearly(gains: Floats) -> bool:
    return bool(gains.mean() > _CLEARLY * gains.std() / np.sqrt(len(gains)))


def _grouped(points: Floats, count: int, rng: np.random.Generator) -> Rows:
    """(n,): k-means of points (n, d), begun far apart from each other."""
    centres = points[rng.integers(len(points), size=1)]
    for _ in range(count - 1):
        near = _apart(points, centres).min(axis=1)
        chosen = rng.choice(len(points), size=1, p=near / near.sum())
        centres = np.concatenate([centres, points[chosen]])
    nearest = np.zeros(len(points), dtype=np.int64)
    for _ in range(_LOOKS):
        nearest = _apart(points, centres).argmin(axis=1)
        for kind in np.unique(nearest):
            centres[kind] = points[nearest == kind].mean(axis=0)
    return nearest


def _apart(points: Floats, centres: Floats) -> Floats:
    """(n, k): squared distances."""
    return np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
