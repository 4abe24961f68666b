"""What the seasons of ours and of Vowpal Wabbit come to: standings, curves and goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandits_play import Tried
from honeyguide.evaluate.simulate.runs import paired
from honeyguide.types import Floats
from rows import Row

GOAL = 1.10
PAGES, AFTER = 1000, 100
"""Pages of a cold start, and after how many of them one curve should lie above the other."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a policy earned on the reported seeds, against VW's best there, with the paired 95 % interval."""

    world: str
    policy: str
    arguments: str
    tuned: tuple[float, ...]
    """What it earned in the seasons it was chosen by."""
    earned: float
    of_best: float
    low: float
    high: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """All runs of a world: (v,) expected rewards of the pages, by policy and seed; VW's names begin with "VW "."""

    world: str
    pages: Mapping[str, Sequence[Floats]]
    seconds: Mapping[str, float]
    tuned: Mapping[str, Tried]
    tried: Sequence[Tried]

    def earned(self, name: str) -> list[float]:
        """A season's reward, for each seed."""
        return [float(each.sum()) for each in self.pages[name]]

    @property
    def best(self) -> str:
        """The VW that earned most on the reported seeds."""
        return max(self.tuned, key=lambda name: float(np.mean(self.earned(name))))

    @property
    def ours(self) -> list[str]:
        """The policies that are not VW's."""
        return [name for name in self.pages if name not in self.tuned]

    def curve(self, name: str) -> Floats:
        """(PAGES,) at most: what was earned up to each page, in the mean over seeds."""
        length = min(PAGES, *(len(each) for runs in self.pages.values() for each in runs))
        return np.asarray(np.mean([each[:length].cumsum() for each in self.pages[name]], axis=0))


def standings(played: Played) -> list[Standing]:
    """A line for each policy, the one that earned most first."""
    against = played.earned(played.best)
    scale = float(np.mean(against))
    found = []
    for name in played.pages:
        earned, tuned = played.earned(name), played.tuned.get(name)
        margin = paired(earned, against)
        found.append(
            Standing(
                world=played.world,
                policy=name,
                arguments="" if tuned is None else tuned.configuration.arguments,
                tuned=() if tuned is None else tuned.earned,
                earned=float(np.mean(earned)),
                of_best=float(np.mean(earned)) / scale,
                low=1 + margin.low / scale,
                high=1 + margin.high / scale,
                seconds=played.seconds[name],
            )
        )
    return sorted(found, key=lambda each: -each.earned)


def least_lead(ours: Floats, theirs: Floats) -> float:
    """The least ratio of two curves (p,) from page AFTER on."""
    return float((ours[AFTER - 1 :] / theirs[AFTER - 1 :]).min())


def rows_of(played: Played, *, cold: bool) -> list[Row]:
    """The goals: of the reward with a log, of the curve without one."""
    theirs = played.best
    if cold:
        return [
            Row.of(
                played.world,
                "least of the curve",
                [least_lead(played.curve(name), played.curve(theirs))],
                f"{name} to {theirs}",
                [1.0],
                goal=1.0,
            )
            for name in played.ours
        ]
    return [
        Row.of(
            played.world,
            f"reward, {name}"[:17],
            played.earned(name),
            theirs,
            played.earned(theirs),
            goal=GOAL,
        )
        for name in played.ours
    ]


def show_standings(found: Sequence[Standing]) -> None:
    """Print one world's table."""
    print(f"\n{found[0].world}\n{'policy':<22}{'earned':>8}{'of VW best':>12}{'95 %':>15}{'s':>6}  arguments")
    for each in found:
        interval = f"{each.low:.3f}..{each.high:.3f}"
        print(
            f"{each.policy:<22}{each.earned:>8.1f}{each.of_best:>12.3f}{interval:>15}{each.seconds:>6.1f}"
            f"  {each.arguments}"
        )


def show_curves(played: Played) -> None:
    """Print what was earned up to some pages."""
    marks = [mark for mark in (50, 100, 200, 300, 500, 750, 1000) if mark <= len(played.curve(played.best))]
    print("\nearned up to page     " + "".join(f"{mark:>8}" for mark in marks))
    for name in played.pages:
        curve = played.curve(name)
        print(f"{name:<22}" + "".join(f"{curve[mark - 1]:>8.1f}" for mark in marks))
