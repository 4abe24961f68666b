"""What the benchmarks beside rivals share with `rank.py` and each other: ours as it serves, seeds, and results."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.plm.train.devices import Place
from honeyguide.types import Vectors
from rank import Split, learn, plan_of, some_of
from rows import commit, machine


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What we learned: the model as it serves, and the seconds that it took."""

    model: SequenceModel
    seconds: float


def teach(
    vectors: Vectors,
    split: Split,
    options: argparse.Namespace,
    seed: int,
    place: Place,
    *,
    taken: Sequences | None = None,
    content: Vectors | None = None,
    new_share: float | None = None,
) -> Taught:
    """Learn from the training part of a split, as the product does.

    `taken` are the baskets of those who validate, where they took more than one item at once. `content` (n, c) is
    what the network reads of items where that is more than their texts' `vectors`; `new_share` of what is taken is of
    new items, where times tell.
    """
    learned, seconds = learn(vectors if content is None else content, split, plan_of(options, seed), place)
    began = time.perf_counter()
    held = some_of(split.valid)
    asked, wanted = held.sequences, Sequences.one_each(held.targets)
    if taken is not None:
        asked, wanted = split.valid.sequences, taken
    model = mixed(learned.network, split.train, asked, wanted, vectors=vectors, new_share=new_share)
    return Taught(model, seconds + time.perf_counter() - began)


def seeds_of(options: argparse.Namespace) -> range:
    """The seeds that are asked for."""
    return range(options.first_seed, options.first_seed + options.seeds)


def write(path: Path | None, results: Sequence[Any], place: Place, **about: object) -> None:
    """Results (dataclasses) as JSON, each with where it was measured; nothing where there is no path."""
    if path is not None:
        about |= {"device": place.device.type, "machine": machine(), "commit": commit()}
        path.write_text(json.dumps([{**asdict(result), **about} for result in results], indent=1))


def some_users(sequences: Sequences, users: int | None) -> Sequences:
    """The first users, for a short look; None is all."""
    return sequences if users is None else sequences.of_users(np.arange(min(users, len(sequences))))
