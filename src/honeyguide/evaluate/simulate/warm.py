"""The warm start that all policies share: a prior learned from what other people took of another policy's pages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.baselines import Ranked
from honeyguide.explore.learned import PageRows, learn_posterior
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.types import Decision, Progress, State, silent

LOGGED_FLOOR = 0.3
"""The logging policy shows best sellers, and as large a share of every slot at random."""


def warm_start(shop: SimulatedShop, world: World, *, seed: int, progress: Progress = silent) -> State:
    """A fitted posterior that has met nobody: its prior comes from an earlier season of the same world.

    That season has other users and other new items; its prior is chosen by the code that fits a real shop's.
    """
    logging = Ranked(BEHAVIOUR.index("popularity"), floor=LOGGED_FLOOR)
    run = simulate(shop, world, lambda _: logging, {}, seed=seed, past=True, keep=True)
    order = np.argsort(run.person, kind="stable")
    _, starts = np.unique(run.person[order], return_index=True)
    decisions = [run.decisions[visit] for visit in order]
    counts = np.cumsum([0, *(len(each.chosen) for each in decisions)], dtype=np.int64)
    row = {item: at for at, item in enumerate(shop.catalog.ids)}
    pages = PageRows(
        features=np.concatenate([each.features for each in decisions]),
        rewards=np.concatenate([run.rewards[visit] for visit in order]),
        starts=counts[[*starts, len(order)]],
        items=np.array([row[item] for each in decisions for item in each.item_ids], dtype=np.int64),
        fresh=np.concatenate([_fresh(each) for each in decisions]),
    )
    learned, _ = learn_posterior(pages, None, seed=seed, page=float(world.k), progress=progress)
    return learned.state()


def _fresh(decision: Decision) -> NDArray[np.bool_]:
    fresh = decision.candidates.fresh
    return np.zeros(len(decision.chosen), dtype=np.bool_) if fresh is None else fresh[decision.chosen]
