"""The sequence model whole: how likely each item is to be what a user takes next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.data.textclean import normalise_query
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.memory import Memory, followed
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.interests.sequence.ranking import ndcg_of, parts_of, ranks_in
from honeyguide.types import Floats, Progress, Rows, State, Vectors, silent

BACKOFFS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
RECENCIES = (0.5, 0.7, 0.85)
BACKWARDS = (0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceModel:
    """A network's guess, and the memory of what was taken along that it is mixed with; None mixes nothing in."""

    network: SequenceNetwork
    memory: Memory | None = None
    pool: Rows | None = None
    """(p,): items that stand for all where a single user is asked about, the most taken ones; None is all."""
    queries: tuple[str, ...] = ()
    """The searches that it can read; the token of one is its place after the items."""
    _tokens: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tokens = {query: self.items + row for row, query in enumerate(self.queries)}
        object.__setattr__(self, "_tokens", tokens)

    def query_token(self, query: str) -> int | None:
        """The token of a search, however it is written; None for one that nobody made before the fit."""
        return self._tokens.get(normalise_query(query))

    @property
    def items(self) -> int:
        """How many items it tells apart."""
        return self.network.items

    def score(self, sequences: Sequences) -> Vectors:
        """(u, n): the chance of each item to be next; rows sum to 1."""
        guessed = _softmax(self.network.score(sequences))
        return guessed if self.memory is None else self.memory.mix(sequences, guessed)

    def chances(self, sequence: Sequences, rows: Rows) -> Vectors:
        """(r,): the chance of some items to be next for a single user, all others but the pool's being left out."""
        hidden = self.network.read(sequence)
        guessed = np.exp(self.network.scores(hidden, rows)[0] - self._whole(hidden))
        return guessed if self.memory is None else self.memory.mix_some(sequence, rows, guessed)

    def _whole(self, hidden: Vectors) -> np.float32:
        scores = self.network.scores(hidden, self.pool)[0]
        most = scores.max()
        return np.float32(most + np.log(np.exp(scores - most).sum()))

    def state(self) -> tuple[State, dict[str, Any]]:
        """The model as named arrays and JSON."""
        arrays, meta = self.network.state()
        more: State = {} if self.pool is None else {"pool": self.pool}
        if self.queries:
            more["queries.text"], more["queries.offsets"] = pack_strings(self.queries)
        return {**arrays, **more, **(self.memory.state() if self.memory else {})}, meta

    @classmethod
    def from_state(cls, arrays: State, meta: dict[str, Any]) -> Self:
        """The model whose `state()` this is; DamagedArtifact where something is missing."""
        own = {name: a for name, a in arrays.items() if not name.startswith(("pool", "queries.", "memory."))}
        memory = Memory.from_state(arrays) if "memory.how" in arrays else None
        queries: tuple[str, ...] = ()
        if "queries.text" in arrays:
            queries = tuple(unpack_strings(arrays["queries.text"], arrays["queries.offsets"]))
        return cls(SequenceNetwork.from_state(own, meta), memory, arrays.get("pool"), queries)


def mixed(
    network: SequenceNetwork,
    known: Sequences,
    asked: Sequences,
    targets: Rows,
    *,
    k: int = 10,
    progress: Progress = silent,
) -> SequenceModel:
    """The network mixed with the memory of `known`, in the way that finds held-out `targets` (u,) best by NDCG@k.

    `asked` are the users' events before. The network stays alone where no way is better. What is ranked first
    matters to a shop, and so that decides: by likelihood the network would get more weight.
    """
    after = followed(known, network.items)
    memories = [Memory.both_ways(after, backward) for backward in BACKWARDS]
    ways = [replace(m, backoff=b, recency=r) for m in memories for b in BACKOFFS for r in RECENCIES]
    found = np.zeros((len(ways) + 1, len(asked)))
    done = 0
    for users in parts_of(asked, network.items):
        part, wanted = asked.of_users(users), targets[users]
        guessed = _softmax(network.score(part))
        found[0, users] = _gains(guessed.copy(), part, wanted, k)
        for way, memory in enumerate(ways, start=1):
            found[way, users] = _gains(memory.mix(part, guessed), part, wanted, k)
        done += len(users)
        progress(done, len(asked))
    best = int(found.mean(axis=1).argmax())
    return SequenceModel(network, ways[best - 1] if best else None)


def _gains(scores: Vectors, part: Sequences, wanted: Rows, k: int) -> Floats:
    return ndcg_of(ranks_in(scores, part, wanted), k)


def _softmax(scores: Vectors) -> Vectors:
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)
