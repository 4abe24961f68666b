"""The sequence model whole: how likely each item is to be what a user takes next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.data.textclean import normalise_query
from honeyguide.interests.sequence.factors import Factors
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import Likeness
from honeyguide.interests.sequence.memory import Memory
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.types import Rows, State, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class SequenceModel:
    """A network's guess, mixed with the memory of what was taken along, factors of all of it, and items' likeness.

    None of the latter three mixes nothing in.
    """

    network: SequenceNetwork
    memory: Memory | None = None
    likeness: Likeness | None = None
    pool: Rows | None = None
    """(p,): items that stand for all where a single user is asked about, the most taken ones; None is all."""
    queries: tuple[str, ...] = ()
    """The searches that it can read; the token of one is its place after the items."""
    factors: Factors | None = None
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
        found = softmax(self.network.score(sequences))
        if self.memory is not None:
            found = self.memory.mix(sequences, found)
        if self.factors is not None:
            found = self.factors.mix(sequences, found)
        return found if self.likeness is None else self.likeness.mix(sequences, found)

    def chances(self, sequence: Sequences, rows: Rows) -> Vectors:
        """(r,): the chance of some items to be next for a single user, all others but the pool's being left out."""
        hidden = self.network.read(sequence)
        whole = self._whole(hidden)

        def remembered(some: Rows) -> Vectors:
            guessed = np.asarray(np.exp(self.network.scores(hidden, some)[0] - whole))
            return guessed if self.memory is None else self.memory.mix_some(sequence, some, guessed)

        def without_likeness(some: Rows) -> Vectors:
            if self.factors is None:
                return remembered(some)
            return self.factors.mix_some(sequence, some, remembered, self.pool)

        if self.likeness is None:
            return without_likeness(rows)
        return self.likeness.mix_some(sequence, rows, without_likeness, self.pool)

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
        for part in (self.memory, self.factors, self.likeness):
            if part is not None:
                more |= part.state()
        return {**arrays, **more}, meta

    @classmethod
    def from_state(cls, arrays: State, meta: dict[str, Any]) -> Self:
        """The model whose `state()` this is; DamagedArtifact where something is missing."""
        beside = ("pool", "queries.", "memory.", "factors.", "likeness.")
        own = {name: array for name, array in arrays.items() if not name.startswith(beside)}
        memory = Memory.from_state(arrays) if "memory.how" in arrays else None
        factors = Factors.from_state(arrays) if "factors.how" in arrays else None
        likeness = Likeness.from_state(arrays) if "likeness.how" in arrays else None
        queries: tuple[str, ...] = ()
        if "queries.text" in arrays:
            queries = tuple(unpack_strings(arrays["queries.text"], arrays["queries.offsets"]))
        network = SequenceNetwork.from_state(own, meta)
        return cls(network, memory, likeness, arrays.get("pool"), queries, factors)


def softmax(scores: Vectors) -> Vectors:
    """(u, n): logits as chances, rows summing to 1."""
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)
