"""How much of a shop's next items the network tells, and how much memory, factors and the items alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from honeyguide.interests.sequence.factors import Factors
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import Likeness
from honeyguide.interests.sequence.memory import Memory, followed
from honeyguide.interests.sequence.model import SequenceModel, softmax
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.interests.sequence.ranking import ndcg_of, parts_of, taken_ranks_in
from honeyguide.types import Floats, Progress, Rows, Vectors, silent

BACKOFFS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
RECENCIES = (0.5, 0.7, 0.85, 0.95)
BACKWARDS = (0.3, 1.0)
SHARES = (0.3, 0.6, 1.0)  # of nearly all, the memory's few sure pairs would still take the first places
RARITIES = (0.1, 0.3, 1.0, 3.0, 10.0)
Way = TypeVar("Way", bound=Memory | Factors | Likeness | None)
_ENOUGH = 100  # users with an item new to them, to compare ways by those alone
_FOR_NEW = (
    0.02  # of what is found may be lost, for new items to be found at all: no event held out tells of those
)
_CELLS = 60_000_000  # users times items that ways are compared on, at the most: 240 MB


def mixed(
    network: SequenceNetwork,
    known: Sequences,
    asked: Sequences,
    taken: Sequences,
    *,
    vectors: Vectors | None = None,
    new_share: float | None = None,
    k: int = 10,
    seed: int = 0,
    progress: Progress = silent,
) -> SequenceModel:
    """The network mixed with what else `known` says, in the way that finds what was held out best by NDCG@k.

    That is what u users have `taken` after `asked`; where enough of it was new to them, that decides. `new_share` of
    what is taken is of items new to the log; None has those taken like the ones alike. First comes the memory; then,
    given contents `vectors` (n, d), factors of all that users ever took; then the likeness of items, unless it loses
    more than new items are worth: where one name has dozens of items that nobody wants. What is ranked first matters
    to a shop, and so that decides: by likelihood the network would get more weight.
    """
    memories = _memories(known, network.items)
    factorings: Sequence[Factors | None] = [None]
    likenesses: Sequence[Likeness | None] = [None]
    if vectors is not None:
        often = np.bincount(known.tokens[known.tokens < network.items], minlength=network.items)
        alike = Likeness.of(vectors, often)
        factorings = _factorings(known, alike)
        if new_share is not None:
            alike = alike.with_share(new_share)
        likenesses = [None, *(replace(alike, rarity=rarity) for rarity in RARITIES)]
    turns = len(memories) + len(factorings) + len(likenesses)
    choice = _Choice(_parts(network, asked, taken, seed), k, turns, progress)
    memory, factors = choice.best(memories), choice.best(factorings)
    likeness = choice.best(likenesses, first=1 - _FOR_NEW)
    return SequenceModel(network, memory, likeness, factors=factors)


def _memories(known: Sequences, items: int) -> list[Memory | None]:
    found: list[Memory | None] = [None]
    after = followed(known, items)
    for backward in BACKWARDS:
        memory = Memory.both_ways(after, backward)
        found += [replace(memory, backoff=b, recency=r) for b in BACKOFFS for r in RECENCIES]
    return found


def _factorings(known: Sequences, alike: Likeness) -> list[Factors | None]:
    """Without factors, and with shares of them; only without where there is nothing to factor."""
    if len(known) < 2 or len(alike.near) < 2:
        return [None]
    factors = Factors.of(known, alike.near)
    return [None, *(replace(factors, share=share) for share in SHARES)]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the users asked, the chances (u, n) of all items for them, and who of them took what, both (t,)."""

    sequences: Sequences
    takers: Rows
    targets: Rows
    chances: Vectors


def _parts(network: SequenceNetwork, asked: Sequences, taken: Sequences, seed: int) -> list[_Part]:
    takers = np.repeat(np.arange(len(taken)), taken.lengths)
    items = taken.tokens < network.items
    takers, targets = takers[items], taken.tokens[items]
    new = _new_to_them(asked, takers, targets, network.items)
    if new.sum() >= _ENOUGH:
        takers, targets = takers[new], targets[new]
    users = np.unique(takers)
    most = max(_CELLS // max(network.items, 1), 1)
    if len(users) > most:
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    found = []
    for rows in parts_of(asked.of_users(users), network.items):
        part = asked.of_users(users[rows])
        place = np.full(len(asked), -1, dtype=np.int64)
        place[users[rows]] = np.arange(len(rows))
        mine = place[takers] >= 0
        found.append(_Part(part, place[takers[mine]], targets[mine], softmax(network.score(part))))
    return found


def _new_to_them(asked: Sequences, takers: Rows, targets: Rows, items: int) -> NDArray[np.bool_]:
    user = np.repeat(np.arange(len(asked)), asked.lengths)
    had = asked.tokens < items
    return ~np.isin(takers * items + targets, user[had] * items + asked.tokens[had])


class _Choice:
    """Chooses one part of a model after the other, those before it mixed in, by what users held out are found by."""

    def __init__(self, parts: Sequence[_Part], k: int, turns: int, progress: Progress) -> None:
        self._parts = parts
        self._k = k
        self._turns = turns
        self._met = 0
        self._progress = progress

    def best(self, ways: Sequence[Way], *, first: float = 1.0) -> Way:
        """The way that finds most; what the first one finds counts `first` times."""
        gains = [self._gain(way) for way in ways]
        gains[0] *= first
        chosen = ways[int(np.argmax(gains))]
        self._parts = [replace(part, chances=_mix(chosen, part)) for part in self._parts]
        return chosen

    def _gain(self, way: Memory | Factors | Likeness | None) -> float:
        found = [
            _ndcg(
                taken_ranks_in(_mix(way, part), part.sequences, part.takers, part.targets),
                part.takers,
                self._k,
            )
            for part in self._parts
        ]
        self._met += 1
        self._progress(self._met, self._turns)
        return float(np.concatenate(found).mean())


def _ndcg(ranks: Rows, takers: Rows, k: int) -> Floats:
    """(users who took something,): NDCG@k of all that each of them took."""
    counts = np.bincount(takers)
    gains = np.bincount(takers, weights=ndcg_of(ranks, k))
    best = np.cumsum([0.0, *ndcg_of(np.arange(k), k)])
    took = counts > 0
    return np.asarray(gains[took] / best[np.minimum(counts[took], k)])


def _mix(way: Memory | Factors | Likeness | None, part: _Part) -> Vectors:
    return part.chances.copy() if way is None else way.mix(part.sequences, part.chances)
