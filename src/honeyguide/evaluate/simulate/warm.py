"""The warm start that all policies share: a prior learned from what other people took of another policy's pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.evaluate.simulate.runs import Run
from honeyguide.evaluate.simulate.seen import HALF_LIFE_DAYS
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.baselines import Ranked
from honeyguide.explore.learned import PageRows, learn_posterior
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.types import Decision, Floats, Progress, Rows, State, silent

LOGGED_FLOOR = 0.3
"""The logging policy shows best sellers, and as large a share of every slot at random."""


def logged_season(shop: SimulatedShop, world: World, *, seed: int) -> Run:
    """An earlier season of the same world, with other users and other new items, as the logging policy served it."""
    logging = Ranked(BEHAVIOUR.index("popularity"), floor=LOGGED_FLOOR)
    return simulate(shop, world, lambda _: logging, {}, seed=seed, past=True, keep=True)


def warm_start(shop: SimulatedShop, world: World, *, seed: int, progress: Progress = silent) -> State:
    """A fitted posterior that has met nobody: its prior comes from an earlier season of the same world."""
    run = logged_season(shop, world, seed=seed)
    told = (run.person, run.decisions, run.rewards)
    return learned_from(shop, *told, seed=seed, page=float(world.k), progress=progress)


def learned_from(
    shop: SimulatedShop,
    people: Rows,
    decisions: Sequence[Decision],
    rewards: Sequence[Floats],
    *,
    seed: int,
    page: float,
    progress: Progress = silent,
) -> State:
    """A posterior that has met nobody, its prior chosen from the pages of `people` (v,) as a real shop's is."""
    order = np.argsort(people, kind="stable")
    _, starts = np.unique(people[order], return_index=True)
    pages_of = [decisions[visit] for visit in order]
    counts = np.cumsum([0, *(len(each.chosen) for each in pages_of)], dtype=np.int64)
    row = {item: at for at, item in enumerate(shop.catalog.ids)}
    pages = PageRows(
        features=np.concatenate([each.features for each in pages_of]),
        rewards=np.concatenate([rewards[visit] for visit in order]),
        starts=counts[[*starts, len(order)]],
        items=np.array([row[item] for each in pages_of for item in each.item_ids], dtype=np.int64),
        fresh=np.concatenate([_fresh(each) for each in pages_of]),
        places=np.concatenate([each.places for each in pages_of]),
        interests=np.concatenate([_interests(each) for each in pages_of]),
        pages=np.repeat(np.arange(len(order)), np.diff(counts)),
    )
    learned, _ = learn_posterior(
        pages, None, seed=seed, page=page, half_life_days=HALF_LIFE_DAYS, progress=progress
    )
    return learned.state()


def _interests(decision: Decision) -> Rows:
    groups = decision.candidates.groups
    return np.zeros(len(decision.chosen), dtype=np.int64) if groups is None else groups[decision.chosen]


def _fresh(decision: Decision) -> NDArray[np.bool_]:
    fresh = decision.candidates.fresh
    return np.zeros(len(decision.chosen), dtype=np.bool_) if fresh is None else fresh[decision.chosen]
