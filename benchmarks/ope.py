"""Off-policy estimators: the same numbers as obp's, intervals that hold as often as they say, and which to trust.

python benchmarks/ope.py --data FOLDER [--json OUT]            beside obp on the Open Bandit sample (make bench-setup)
python benchmarks/ope.py --coverage [--seeds 500] [--json OUT]
python benchmarks/ope.py --table [--seeds 12] [--json OUT]
python benchmarks/ope.py --seasons [--seeds 4] [--json OUT]    what-if beside what would have been in simulated shops

`--data` is a folder with open_bandit/*.parquet. Both sides get the same reward-model predictions there. The others
need no data: they simulate shops whose true values are known. Each takes a minute or two of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.errors import NoSupport
from honeyguide.evaluate import ope
from honeyguide.evaluate.ope import Answer, OffPolicy
from honeyguide.types import Decision, Estimate
from ope_obp import Beside, beside_obp
from ope_seasons import seasons, show_seasons
from ope_worlds import LIFTING, ONE_SLOT, SHORT, WORLDS, World
from rows import commit, machine

ASKED = {
    "min_effective_n": 1e-12,
    "min_mean_weight": 0.0,
}  # a number whatever the log supports, to see its error


@dataclass(frozen=True)
class Line:
    """How one estimator did over all logs of a world; `answered` is the share that it would not have refused."""

    world: str
    estimator: str
    truth: float
    bias: float
    rmse: float
    width: float
    covered: float
    answered: float
    logs: int


def estimators(settings: dict[str, Any]) -> dict[str, OffPolicy]:
    """What the table compares; those that shrink also with an interval of chance alone."""
    return {
        "IPS (RIPS)": ope.IPS(**settings),
        "SNIPS": ope.SNIPS(**settings),
        "IPS clipped at 10": ope.IPS(clip=10.0, **settings),
        "IIPS": ope.IIPS(**settings),
        "SNIIPS": ope.SNIIPS(**settings),
        "PI": ope.PI(**settings),
        "DM": ope.DM(**settings),
        "DR": ope.DR(**settings),
        "SNDR": ope.SNDR(**settings),
        "MRDR": ope.MRDR(**settings),
        "SwitchDR 10": ope.SwitchDR(**settings),
        "DRos 10": ope.DRos(shrink=10.0, **settings),
        "DRos 100": ope.DRos(**settings),
        "DRos 100, no doubt": ope.DRos(doubt=0.0, **settings),
        "DRos 1000": ope.DRos(shrink=1000.0, **settings),
        "cascade-DR": ope.CascadeDR(**settings),
    }


def judged(world: World, logs: int) -> list[Line]:
    """Every estimator on the same logs."""
    truth = world.truth()
    free, strict = estimators(ASKED), estimators({})
    found: dict[str, list[Estimate]] = {name: [] for name in free}
    answered = dict.fromkeys(free, 0)
    for seed in range(logs):
        decisions, rewards = world.log(seed)
        answers = [ope.ask(decision, world.target) for decision in decisions]
        for name in free:
            given = _given(strict[name], world, decisions, answers)
            if given is None:
                continue
            try:
                found[name].append(strict[name].judge(decisions, rewards, given))
                answered[name] += 1
            except NoSupport:
                found[name].append(free[name].judge(decisions, rewards, given))
    return [
        _line(world, name, truth, estimates, answered[name]) for name, estimates in found.items() if estimates
    ]


def _given(
    estimator: OffPolicy, world: World, decisions: Sequence[Decision], answers: list[Answer]
) -> list[Answer] | None:
    """The pseudo-inverse asks otherwise than the others, and only of pages that it knows."""
    if not isinstance(estimator, ope.PI):
        return answers
    try:
        return [estimator.ask(decision, world.target) for decision in decisions]
    except NoSupport:
        return None


def _line(world: World, name: str, truth: float, found: list[Estimate], answered: int) -> Line:
    error = np.array([one.value for one in found]) - truth
    held = [one.low <= truth <= one.high for one in found]
    return Line(
        world.name,
        name,
        truth,
        float(error.mean()),
        float(np.sqrt((error**2).mean())),
        float(np.mean([one.high - one.low for one in found])),
        float(np.mean(held)),
        answered / len(found),
        len(found),
    )


def coverage(logs: int) -> list[Line]:
    """How often 95 % intervals hold the truth: each estimator in a shop where it is right, of 40 or 80 users."""
    return [line for world, kinds in _covered() for line in _held(world, kinds, logs)]


def _covered() -> list[tuple[World, dict[str, OffPolicy]]]:
    one: dict[str, OffPolicy] = {
        make.__name__: make()
        for make in (ope.IPS, ope.SNIPS, ope.PI, ope.DR, ope.SNDR, ope.MRDR, ope.CascadeDR, ope.SwitchDR)
    }
    one |= {
        "DRos": ope.DRos(),
        "DRos, no doubt": ope.DRos(doubt=0.0),
        "DM": ope.DM(),
        "DM, no doubt": ope.DM(doubt=0.0),
        "IPS clipped at 5": ope.IPS(clip=5.0),
        "SNIPS, bootstrap": ope.SNIPS(interval="bootstrap", resamples=199),
        "IPS, Bernstein": ope.IPS(interval="bernstein"),
    }
    alone: dict[str, OffPolicy] = {
        make.__name__: make()
        for make in (ope.PI, ope.IIPS, ope.SNIIPS, ope.DR, ope.SNDR, ope.MRDR, ope.SwitchDR, ope.DRos)
    }
    lifted: dict[str, OffPolicy] = {
        "RIPS": ope.IPS(),
        "RIPS clipped at 10": ope.IPS(clip=10.0),
        "self-normalised RIPS": ope.SNIPS(),
        "cascade-DR": ope.CascadeDR(),
        "RIPS, bootstrap": ope.IPS(interval="bootstrap", resamples=199),
    }
    return [(ONE_SLOT, one), (SHORT, alone), (replace(LIFTING, pages=200), lifted)]


def _held(world: World, kinds: dict[str, OffPolicy], logs: int) -> list[Line]:
    truth, whole = world.truth(), any(estimator.slotwise for estimator in kinds.values())
    found: dict[str, list[Estimate]] = {name: [] for name in kinds}
    for seed in range(logs):
        decisions, rewards = world.log(seed)
        answers = [ope.ask(decision, world.target, whole=whole) for decision in decisions]
        for name, estimator in kinds.items():
            given = _given(estimator, world, decisions, answers)
            with suppress(NoSupport):
                found[name].append(estimator.judge(decisions, rewards, given or answers))
    return [
        replace(_line(world, name, truth, mine, 0), answered=len(mine) / logs)
        for name, mine in found.items()
        if mine
    ]


def show(lines: Sequence[Line]) -> None:
    """The table of one world after the other."""
    for world in dict.fromkeys(line.world for line in lines):
        mine = [line for line in lines if line.world == world]
        print(f"\n{world}: the target earns {mine[0].truth:.4f} a page; {mine[0].logs} logs")
        print(f"  {'estimator':<20}{'bias':>9}{'RMSE':>9}{'width':>9}{'covered':>9}{'answered':>10}")
        for line in mine:
            print(
                f"  {line.estimator:<20}{line.bias:>+9.4f}{line.rmse:>9.4f}{line.width:>9.4f}"
                f"{line.covered:>9.1%}{line.answered:>10.0%}"
            )


def show_beside(lines: Sequence[Beside]) -> None:
    """Ours beside obp's."""
    print(f"{'log and target':<30}{'estimator':<13}{'ours':>14}{'obp':>14}{'difference':>12}")
    for line in lines:
        print(
            f"{line.log:<30}{line.estimator:<13}{line.ours:>14.9f}{line.theirs:>14.9f}{line.difference:>12.1e}"
        )
    print(f"largest difference {max(line.difference for line in lines):.1e} (goal: at most 1e-6)")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--seasons", action="store_true")
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    lines: list[Line] = []
    compared: list[Beside] = []
    if options.coverage:
        lines = coverage(options.seeds or 500)
    if options.table:
        lines += [line for world in WORLDS for line in judged(world, options.seeds or 12)]
    if options.data is not None:
        compared = beside_obp(options.data)
        show_beside(compared)
    show(lines)
    told = seasons(options.seeds or 4) if options.seasons else []
    if told:
        show_seasons(told)
    if options.json:
        about = {"machine": machine(), "commit": commit()}
        rows = [asdict(line) | {"difference": line.difference} | about for line in compared]
        rows += [asdict(line) | about for line in lines] + [asdict(one) | about for one in told]
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
