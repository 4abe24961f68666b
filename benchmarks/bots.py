"""How much oftener do honest people see an item that 5 % of all visitors are bots for, who take nothing but it?

python benchmarks/bots.py [--seeds N] [--users N] [--policy NAME] [--json OUT]

A season of a simulated shop is played with the bots and without (they are honest people then), for a target that is
shown often and one that is shown at times. The lift is how often honest people are shown the target with the bots, by
how often without; what honest people earn the shop stands beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from honeyguide.config import Explore
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.play import Bots
from honeyguide.evaluate.simulate.runs import Run
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.warm import warm_start
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.shop.policies import make_policy
from honeyguide.types import Floats, State
from rows import Row, report

BOTS, MOST_LIFT, USERS, SEEDS = 0.05, 1.2, 160, 3
TARGETS = {"shown often": 0.1, "shown at times": 0.3}
"""Which of the items that honest people see, from the one that is shown most (0) to the one shown least (1)."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """How often honest people saw the target, and what they earned the shop, without bots and with them."""

    name: str
    shown: float
    pushed: float
    earned: float
    left: float


@dataclass(frozen=True, slots=True)
class Season:
    """A season that is played again and again with the same people."""

    shop: SimulatedShop
    world: World
    prior: State
    policy: str
    seed: int

    @classmethod
    def of(cls, seed: int, users: int, policy: str) -> Season:
        """A season of `users`; a prior was learned from as many before."""
        shop = planted_shop(seed=seed, items=600, users=400)
        world = World("bots", users=users, days=60.0, visits=8.0, gap_days=3.0, candidates=80, k=8)
        return cls(shop, world, warm_start(shop, world, seed=seed), policy, seed)

    def played(self, bots: Bots | None = None) -> Run:
        """The season, with these bots."""
        explore = Explore(k=self.world.k)
        return simulate(
            self.shop,
            self.world,
            lambda state: make_policy(self.policy, state, explore, seed=self.seed),
            self.prior,
            seed=self.seed,
            keep=True,
            bots=bots,
        )

    def pushed(self) -> Iterator[Pushed]:
        """What becomes of each target."""
        drawn = np.random.default_rng(self.seed).permutation(self.world.users)
        people = frozenset(drawn[: round(BOTS * self.world.users)].tolist())
        plain = self.played()
        shown = self._shown(plain, people)
        often = np.argsort(-shown, kind="stable")[: int((shown > 0).sum())]
        for name, share in TARGETS.items():
            target = int(often[int(share * len(often))])
            run = self.played(Bots(people, target))
            pushed = float(self._shown(run, people)[target])
            yield Pushed(name, float(shown[target]), pushed, _earned(plain, people), _earned(run, people))

    def _shown(self, run: Run, bots: frozenset[int]) -> Floats:
        """(n,): how often each item was shown to those who are no bots."""
        row = {item: at for at, item in enumerate(self.shop.catalog.ids)}
        honest = zip(run.person.tolist(), run.decisions, strict=True)
        rows = [row[item] for person, page in honest if person not in bots for item in page.item_ids]
        return np.bincount(rows, minlength=len(row)).astype(np.float64)


def _earned(run: Run, bots: frozenset[int]) -> float:
    honest = ~np.isin(run.person, sorted(bots))
    return float(run.reward[honest].sum())


def lift(found: list[Pushed]) -> float:
    """How much oftener the targets were shown."""
    return sum(one.pushed for one in found) / sum(one.shown for one in found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--policy", default="tradeoff")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    found = [
        one
        for seed in range(options.seeds)
        for one in Season.of(seed, options.users, options.policy).pushed()
    ]
    rows = []
    for name in TARGETS:
        some = [one for one in found if one.name == name]
        rows += [
            Row.of(name, "pages", [one.pushed for one in some], "without bots", [one.shown for one in some]),
            Row.of(name, "earned", [one.left for one in some], "without bots", [one.earned for one in some]),
        ]
    report(rows, options)


if __name__ == "__main__":
    main()
