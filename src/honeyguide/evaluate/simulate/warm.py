"""The warm start that all policies share: a prior learned from what other people took of another policy's pages."""

from __future__ import annotations

import numpy as np

from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.baselines import Ranked
from honeyguide.explore.kinds_chosen import choose_kinds
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.prior import UserSums
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.types import Progress, State, silent

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
    features = [run.decisions[visit].features for visit in order]
    counts = np.cumsum([0, *(len(each) for each in features)], dtype=np.int64)
    sums = UserSums.of(
        np.concatenate(features),
        np.concatenate([run.rewards[visit] for visit in order]),
        counts[[*starts, len(order)]],
    )
    chosen = choose_kinds(sums, None, seed=seed, page=float(world.k), progress=progress)
    return UserPosterior(chosen.kinds).state()
