"""The posterior that a shop begins with, learned from past pages: what users share, how they and items differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.explore.base_rate import BaseRate, Linearised, held, learn_base_rate
from honeyguide.explore.examination import EVERYTHING, learn_examination
from honeyguide.explore.foresight import PagesTold, interest_variance, widened
from honeyguide.explore.item_effects import ItemPrior, learn_item_prior
from honeyguide.explore.kinds import Kinds
from honeyguide.explore.kinds_chosen import Chosen, choose_kinds
from honeyguide.explore.kinds_leaning import Reads
from honeyguide.explore.posterior import Prior
from honeyguide.explore.prior import UserSums
from honeyguide.explore.shared import SharedPosterior
from honeyguide.types import Floats, Progress, Rows, Vectors, silent

_AT_FIRST, _EVERYBODY_DIFFERS, _USERS_DIFFER, _ITEMS_DIFFER = 0.05, 1.0, 0.1, 0.3
"""Of a shop without past pages: a chance, and three variances of logits."""
_ROUNDS = 3  # what is expected of items, and how far down people look, are learned in turns


@dataclass(frozen=True, slots=True, eq=False)
class PageRows:
    """Past pages as rows, user by user: features (r, d), rewards (r,) in 0..1 and the items' numbers (r,).

    Users' rows begin at `starts` (u + 1,). Where they are known, `fresh` (r,) marks items that nobody had taken,
    `places` (r,) are the slots of the page that the rows stood in, `interests` (r,) those of the items, and `pages`
    (r,) differ from one page to the next of a user's.
    """

    features: Vectors
    rewards: Floats
    starts: Rows
    items: Rows
    fresh: NDArray[np.bool_] | None = None
    places: Rows | None = None
    interests: Rows | None = None
    pages: Rows | None = None


def learn_posterior(
    pages: PageRows,
    reads: Reads | None,
    *,
    seed: int,
    page: float = 1.0,
    folded: bool = False,
    half_life_days: float = 0.0,
    progress: Progress = silent,
) -> tuple[SharedPosterior, Chosen]:
    """A posterior that has met nobody, by empirical Bayes, and how the prior over users was chosen.

    `reads` and `page` are those of `choose_kinds`. Where the pages will be `folded` into the posterior, what they say
    of everybody will come with them. What a user did `half_life_days` ago counts half of what it tells of them; 0 is
    never. InvalidInput where there are no rows.
    """
    if not len(pages.rewards):
        raise InvalidInput("a prior needs at least one user with one observation: import more events")
    examination, looked = EVERYTHING, np.ones(len(pages.rewards))
    base, ridge = learn_base_rate(pages.features, pages.rewards, pages.starts, looked, seed=seed)
    for _ in range(_ROUNDS if pages.places is not None else 0):
        assert pages.places is not None
        examination = learn_examination(pages.places, base.expected(pages.features), pages.rewards)
        looked = examination.of(pages.places)
        base, ridge = learn_base_rate(pages.features, pages.rewards, pages.starts, looked, seed=seed)
    told = Linearised.of(base.expected(pages.features), looked)
    features, rewards = told.rows(pages.features, pages.rewards)
    sums = UserSums.of(features.astype(np.float32), rewards, pages.starts)
    chosen = choose_kinds(sums, reads, seed=seed, page=page, centred=True, progress=progress)
    items = learn_item_prior(
        pages.features,
        pages.rewards,
        pages.starts,
        pages.items,
        pages.fresh,
        looked,
        ridge=ridge,
        seed=seed,
    )
    kinds, differ = _as_foreseen(pages, base, looked, chosen.kinds, seed)
    known = held(pages.features, ridge)
    if not folded:
        known += sums.xx.sum(axis=0) / kinds.noise_variance
    posterior = SharedPosterior(
        kinds,
        base,
        known,
        items,
        examination,
        half_life_days=half_life_days,
        interest_variance=differ,
    )
    return posterior, chosen


def unlearned_posterior(dim: int, *, half_life_days: float = 0.0) -> SharedPosterior:
    """The posterior of a shop without past pages: one reward in twenty, and nothing else is known.

    How far everybody's logits may differ from that by a unit of a feature, users' from everybody's, and items' by
    themselves, did best in simulated shops (`benchmarks/bandits.py --cold`).
    """
    prior = Prior(np.zeros(dim), _USERS_DIFFER * np.eye(dim), 1.0)
    base = BaseRate(np.zeros(dim), float(np.log(_AT_FIRST / (1 - _AT_FIRST))))
    items = ItemPrior(_ITEMS_DIFFER, fresh_variance=_ITEMS_DIFFER)
    return SharedPosterior(
        prior, base, np.eye(dim) / _EVERYBODY_DIFFERS, items, half_life_days=half_life_days
    )


def _as_foreseen(
    pages: PageRows, base: BaseRate, looked: Floats, kinds: Kinds, seed: int
) -> tuple[Kinds, float]:
    """How widely users' weights differ, and how much single interests do, by what foresees pages best.

    As they are, and 0, where interests or pages are not known.
    """
    if pages.interests is None or pages.pages is None:
        return kinds, 0.0
    rate = base.expected(pages.features)
    told = Linearised.of(rate, looked).scores(pages.rewards)
    rows = PagesTold(pages.features, pages.rewards, rate, looked, *told, pages.interests, pages.pages)
    wide = widened(rows, pages.starts, kinds, seed=seed)
    return wide, interest_variance(rows, pages.starts, wide, seed=seed)
