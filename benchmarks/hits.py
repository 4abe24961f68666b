"""Where the items that users took stand in rankings of a catalogue, and what that is worth: recall and NDCG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.evaluate.metrics import ndcg_at_k, recall_at_k
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.ranking import Scorer, leave_out, parts_of
from honeyguide.types import Floats, Rows, Vectors

Mask = NDArray[np.bool_]
K = 10


@dataclass(frozen=True, slots=True)
class Found:
    """Means over users: how often their item is among the first ten, and NDCG@10."""

    recall: float
    ndcg: float
    users: int


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Of each user's item (u,): how many stand `above` it, and how many others `level` with it."""

    above: Rows
    level: Rows

    @classmethod
    def in_scores(cls, scores: Vectors, sequences: Sequences, targets: Rows, among: Mask) -> Self:
        """In `scores` (u, n), what users had before and what is not `among` (n,) left out."""
        scores = scores.copy()
        at = np.arange(len(targets))
        own = scores[at, targets][:, None]
        leave_out(scores, sequences)
        scores[:, ~among] = -np.inf
        scores[at, targets] = -np.inf
        return cls((scores > own).sum(axis=1), (scores == own).sum(axis=1))

    @classmethod
    def in_lists(cls, ranked: Rows, targets: Rows, among: Mask) -> Self:
        """In `ranked` (u, m) item rows, -1 being none; an item that is not in its list stands below all places."""
        there = (ranked >= 0) & among[ranked]
        hit = ranked == targets[:, None]
        before: Rows = np.cumsum(there, axis=1) - there
        above = np.where(hit.any(axis=1), (before * hit).sum(axis=1), max(ranked.shape[1], K))
        return cls(above, np.zeros(len(targets), dtype=np.int64))

    def recall(self, k: int = K) -> Floats:
        """(u,): the chance to be among the first k, where those that are level stand in any order."""
        return self._mean(np.ones(k))

    def ndcg(self, k: int = K) -> Floats:
        """(u,): what is to be expected of 1 / log2(rank + 2) among the first k."""
        return self._mean(1 / np.log2(np.arange(k) + 2.0))

    def found(self) -> Found:
        """The means."""
        return Found(float(self.recall().mean()), float(self.ndcg().mean()), len(self.above))

    def _mean(self, worth: Floats) -> Floats:
        whole = np.concatenate([[0.0], np.cumsum(worth)])
        first, last = np.minimum(self.above, len(worth)), np.minimum(self.above + self.level + 1, len(worth))
        return np.asarray((whole[last] - whole[first]) / (self.level + 1))


def found_by(scorer: Scorer, asked: Sequences, targets: Rows, among: Sequence[Mask]) -> list[Found]:
    """How well a scorer finds `targets` (u,) among all items, or some: once for each mask of `among` (n,)."""
    above = np.zeros((len(among), len(targets)), dtype=np.int64)
    level = np.zeros_like(above)
    for users in parts_of(asked, scorer.items):
        part, wanted = asked.of_users(users), targets[users]
        scores = scorer.score(part)
        for row, mask in enumerate(among):
            standing = Standing.in_scores(scores, part, wanted, mask)
            above[row, users], level[row, users] = standing.above, standing.level
    return [Standing(*both).found() for both in zip(above, level, strict=True)]


def found_of(ranked: Rows, wanted: Sequences, k: int = K) -> Found:
    """How well lists (u, m) of item rows find sets of items, each user's share of them and NDCG, as means."""
    users, items = len(wanted), int(max(ranked.max(), wanted.tokens.max())) + 1
    owner = np.repeat(np.arange(users), wanted.lengths)
    pairs = np.where(ranked < 0, -1, np.arange(users)[:, None] * items + ranked)
    hits = np.isin(pairs, owner * items + wanted.tokens)[:, :k]
    ideal = (np.arange(int(wanted.lengths.max())) < wanted.lengths[:, None]).astype(np.float64)
    recall = recall_at_k(hits, wanted.lengths, k)
    return Found(float(recall.mean()), float(ndcg_at_k(hits.astype(np.float64), ideal, k).mean()), users)


def filled(ranked: Rows, counts: Rows, asked: Sequences, *, keep_seen: bool = False) -> Rows:
    """(u, m) with items in the empty places, -1: the most taken ones that a user has not in the list, nor had before.

    `counts` (n,) says how often each item is taken; of equal ones the lower row comes first. With `keep_seen` what a
    user had is as good as anything.
    """
    found = ranked.copy()
    popular = np.argsort(-counts, kind="stable")
    for user in np.flatnonzero((ranked < 0).any(axis=1)):
        had = asked.tokens[asked.starts[user] : asked.starts[user + 1]]
        empty = np.flatnonzero(ranked[user] < 0)
        known = ranked[user] if keep_seen else np.concatenate([had, ranked[user]])
        first = popular[: len(known) + len(empty)]
        found[user, empty] = first[~np.isin(first, known)][: len(empty)]
    return found
