"""How fast does the sequence model learn, and how long until it is as good as the best that a rival gets to?

    python benchmarks/sequence_speed.py --data FOLDER [--rounds 5] [--budgets 1 2 4 8 16] [--rival-seconds S]

Ours beside RecTools' SASRec of the same size (width 64, one block), with 256 sampled negatives and with the softmax
over all items, on the same histories with the same threads. Speed: in every round each trains for --turn epochs, one
after the other, and the seconds are those from arrays in memory to the network, with what is looked at after each
epoch and without; `in_loop` is as each library tells it. A sequence is a user with two events or more.

Equal quality: a rival trains until its validation rises no more or its seconds are up; its best epoch is the mark.
Ours trains for each budget of epochs anew, never looking, mixes, and is ranked on the same users: the half of the
validation users that it chose nothing by, while the rival chose its epoch by them. Looks cost the rival no time.
FOLDER is that of `rank.py`; --rival-length 20 makes RecTools faster where histories are short (it pads to 50).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from against import seeds_of, some_users, write
from curves import draw
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.ranking import Scorer, ndcg_of, ranks_of
from honeyguide.interests.train.learn import HeldOut, LearnedSequences, learn_sequences
from honeyguide.interests.train.plan import SequencePlan
from honeyguide.plm.train.devices import Place, find_place
from rank import OURS, RIVALS, WITHOUT_MEMORY, K, Split, options_of, plan_of
from rank_data import Shop, as_events, read_shop
from rivals.call import prepare, run
from rows import show
from speeds import Quality, Speed, by_model, speeds, their_qualities, their_speed, waits

SASRECS = ("sasrec-sampled", "sasrec")


def main() -> None:
    """Train in turns, then to the mark, and compare."""
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    shop = read_shop(options.data, options.model)
    shop = replace(shop, sequences=some_users(shop.sequences, options.users))
    place = find_place(options.device, options.precision)
    split, judges = in_halves(Split.of(shop.sequences, validate=True))
    results: list[Speed | Quality] = []

    def keep(found: Sequence[Speed | Quality]) -> None:
        results.extend(found)
        print(*found, sep="\n", flush=True)
        write(options.json, results, place, data=shop.name, threads=options.threads)

    for turn in range(options.rounds):
        keep([our_speed(shop, split, turn, options, place)])
        for rival in options.rivals:
            told = their_run(rival, shop, judges, turn, options, place, epochs=options.turn)
            keep([their_speed(rival, turn, told)])
    seeds = seeds_of(options)
    for seed in seeds:
        for rival in options.rivals:
            limits = {"patience": 5, "epochs": 200, "seconds": options.rival_seconds or options.rival_limit}
            told = their_run(rival, shop, judges, seed, options, place, **limits)
            keep(their_qualities(rival, seed, told))
        for epochs in options.budgets:
            keep(our_qualities(shop, split, judges, epochs, seed, options, place))
    print()
    show(speeds([result for result in results if isinstance(result, Speed)]))
    qualities = [result for result in results if isinstance(result, Quality)]
    print(*waits(qualities), sep="\n")
    if options.out and qualities:
        first = {name: points for (name, seed), points in by_model(qualities).items() if seed == seeds[0]}
        lines = {name: [(point.seconds, point.ndcg) for point in points] for name, points in first.items()}
        path = options.out / "sequence_speed.png"
        draw(lines, path, title=f"While it learns, {shop.name}", x="seconds", y="NDCG@10")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rivals", nargs="*", default=SASRECS, choices=SASRECS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=int, default=2, help="epochs that each trains for in a round")
    parser.add_argument(
        "--budgets", nargs="*", type=int, default=[1, 2, 4, 8, 16], help="epochs to equal quality"
    )
    parser.add_argument("--rival-length", type=int, default=50)
    parser.add_argument("--out", type=Path, default=None, help="where the picture of NDCG@10 over time goes")
    parser.add_argument("--users", type=int, default=None, help="of the data, for a short look")
    return options_of(parser)


def in_halves(split: Split) -> tuple[Split, Split]:
    """The split with every other validation user, by whom ours chooses, and with those between, who judge."""
    users = np.arange(len(split.judged))

    def half(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Split:
        valid = HeldOut(split.valid.sequences.of_users(rows), split.valid.targets[rows])
        judged = split.judged[rows]
        return Split(split.train, valid, valid.sequences, valid.targets, judged, judged)

    return half(users[::2]), half(users[1::2])


def our_speed(shop: Shop, split: Split, turn: int, options: argparse.Namespace, place: Place) -> Speed:
    """One training with looks, and what they took."""
    calls: list[float] = []

    def clock() -> float:
        calls.append(time.perf_counter())
        return calls[-1]

    plan = replace(plan_of(options, turn), epochs=options.turn)
    began = time.perf_counter()
    learned = our_run(shop, split, plan, place, held_out=split.valid, clock=clock)
    whole = time.perf_counter() - began
    looks = calls[-1] - calls[0] - learned.seconds
    sequences = float((split.train.lengths > 1).sum()) * learned.epochs
    return Speed(OURS, turn, sequences / learned.seconds, sequences / (whole - looks), sequences / whole)


def our_run(
    shop: Shop,
    split: Split,
    plan: SequencePlan,
    place: Place,
    *,
    held_out: HeldOut | None,
    clock: Any,  # noqa: ANN401
) -> LearnedSequences:
    """As `rank.py` learns."""
    content = shop.vectors - shop.vectors.mean(axis=0)
    with tempfile.TemporaryDirectory() as folder:
        return learn_sequences(
            content, shop.items, split.train, held_out, plan, place=place, folder=Path(folder), clock=clock
        )


def our_qualities(
    shop: Shop, split: Split, judges: Split, epochs: int, seed: int, options: argparse.Namespace, place: Place
) -> list[Quality]:
    """The network alone, and as it serves, after a budget of epochs."""
    plan = replace(plan_of(options, seed), epochs=epochs)
    began = time.perf_counter()
    learned = our_run(shop, split, plan, place, held_out=None, clock=time.perf_counter)
    seconds = time.perf_counter() - began
    asked = split.valid
    model = mixed(
        learned.network, split.train, asked.sequences, Sequences.one_each(asked.targets), vectors=shop.vectors
    )
    whole = time.perf_counter() - began

    def judged(name: str, scorer: Scorer, took: float) -> Quality:
        ranks = ranks_of(scorer, judges.valid.sequences, judges.valid.targets)
        return Quality(name, seed, epochs, took, float(ndcg_of(ranks, K).mean()))

    return [judged(WITHOUT_MEMORY, SequenceModel(learned.network), seconds), judged(OURS, model, whole)]


def their_run(
    rival: str,
    shop: Shop,
    judges: Split,
    seed: int,
    options: argparse.Namespace,
    place: Place,
    **limits: object,
) -> Mapping[str, Any]:
    """What a rival tells of its training, looking at the judges after each epoch."""
    name, model, given = RIVALS[rival]
    how: dict[str, Any] = {
        **given,
        "width": options.width,
        "blocks": 1,
        "heads": 1,
        "length": options.rival_length,
    }
    how |= {"threads": options.threads, "seed": seed, "device": place.device.type, "patience": None, **limits}
    with tempfile.TemporaryDirectory() as folder:
        held_out = (judges.judged, judges.valid.targets)
        prepare(
            Path(folder), as_events(judges.train), judges.judged[:1], held_out=held_out, vectors=shop.vectors
        )
        return run(name, model, Path(folder), k=K, **how).told


if __name__ == "__main__":
    main()
