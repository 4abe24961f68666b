"""How much of a shop's next items the network tells, how much the memory, and how much the items alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import Likeness
from honeyguide.interests.sequence.memory import Memory, followed
from honeyguide.interests.sequence.model import SequenceModel, softmax
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.interests.sequence.ranking import ndcg_of, parts_of, ranks_in
from honeyguide.types import Progress, Rows, Vectors, silent

BACKOFFS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
RECENCIES = (0.5, 0.7, 0.85, 0.95)
BACKWARDS = (0.3, 1.0)
RARITIES = (0.1, 0.3, 1.0, 3.0, 10.0)
Way = TypeVar("Way")
_ENOUGH = 100  # users with an item new to them, to compare ways by those alone
_FOR_NEW = (
    0.02  # of what is found may be lost, for new items to be found at all: no event held out tells of those
)
_CELLS = 60_000_000  # users times items that ways are compared on, at the most: 240 MB


def mixed(
    network: SequenceNetwork,
    known: Sequences,
    asked: Sequences,
    targets: Rows,
    *,
    vectors: Vectors | None = None,
    new_share: float | None = None,
    k: int = 10,
    seed: int = 0,
    progress: Progress = silent,
) -> SequenceModel:
    """The network mixed with what else `known` says, in the way that finds held-out `targets` (u,) best by NDCG@k.

    `asked` are the users' events before; where enough of them took an item new to them, those decide. `new_share` of
    what is taken is of items new to the log; None holds those to be taken like the ones alike. First comes the
    memory; then, given contents `vectors` (n, d), the likeness of items, unless it loses more than new items are
    worth: where one name has dozens of items that nobody wants. What is ranked first matters to a shop, and
    so that decides: by likelihood the network would get more weight.
    """
    parts = _parts(network, asked, targets, seed)
    after = followed(known, network.items)
    memories: list[Memory | None] = [None]
    for backward in BACKWARDS:
        memory = Memory.both_ways(after, backward)
        memories += [replace(memory, backoff=b, recency=r) for b in BACKOFFS for r in RECENCIES]
    turns = len(memories) + (0 if vectors is None else 1 + len(RARITIES))
    memory_of = _best(memories, parts, _remember, k, lambda turn: progress(turn, turns))
    if vectors is None:
        return SequenceModel(network, memory_of)
    taken = np.bincount(known.tokens[known.tokens < network.items], minlength=network.items)
    alike = Likeness.of(vectors, taken)
    if new_share is not None:
        alike = alike.with_share(new_share)
    parts = [replace(part, chances=_remember(memory_of, part)) for part in parts]
    likenesses = [None, *(replace(alike, rarity=rarity) for rarity in RARITIES)]
    likeness = _best(
        likenesses, parts, _liken, k, lambda turn: progress(len(memories) + turn, turns), first=1 - _FOR_NEW
    )
    return SequenceModel(network, memory_of, likeness)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the users asked, the chances (u, n) of all items for them, and what they took, (u,)."""

    sequences: Sequences
    targets: Rows
    chances: Vectors


def _parts(network: SequenceNetwork, asked: Sequences, targets: Rows, seed: int) -> list[_Part]:
    most = max(_CELLS // max(network.items, 1), 1)
    users = np.flatnonzero(_new_to_them(asked, targets))
    if len(users) < _ENOUGH:
        users = np.arange(len(asked))
    if len(users) > most:
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    asked, targets = asked.of_users(users), targets[users]
    found = []
    for rows in parts_of(asked, network.items):
        part = asked.of_users(rows)
        found.append(_Part(part, targets[rows], softmax(network.score(part))))
    return found


def _new_to_them(asked: Sequences, targets: Rows) -> NDArray[np.bool_]:
    user = np.repeat(np.arange(len(asked)), asked.lengths)
    had = np.zeros(len(asked), dtype=np.bool_)
    had[user[asked.tokens == targets[user]]] = True
    return ~had


def _remember(memory: Memory | None, part: _Part) -> Vectors:
    return part.chances.copy() if memory is None else memory.mix(part.sequences, part.chances)


def _liken(likeness: Likeness | None, part: _Part) -> Vectors:
    return part.chances.copy() if likeness is None else likeness.mix(part.sequences, part.chances)


def _best(
    ways: Sequence[Way],
    parts: Sequence[_Part],
    mix: Callable[[Way, _Part], Vectors],
    k: int,
    done: Callable[[int], None],
    *,
    first: float = 1.0,
) -> Way:
    """The way that finds most; what the first one finds counts `first` times."""
    gains = []
    for turn, way in enumerate(ways, start=1):
        found = [ndcg_of(ranks_in(mix(way, part), part.sequences, part.targets), k) for part in parts]
        gains.append(np.concatenate(found).mean())
        done(turn)
    gains[0] *= first
    return ways[int(np.argmax(gains))]
