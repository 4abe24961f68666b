"""Ranking the whole catalogue for users, what they had before left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import Floats, Rows, Vectors

_CELLS = 16_000_000  # scores that are held at once: 64 MB


class Scorer(Protocol):
    """Whatever scores a catalogue of so many `items` for users by what they did."""

    @property
    def items(self) -> int:
        """How many items there are; tokens from there on are queries."""
        ...

    def score(self, sequences: Sequences) -> Vectors:
        """(u, items): the higher, the likelier it is next."""
        ...


def parts_of(sequences: Sequences, items: int) -> Iterator[Rows]:
    """Users part by part, those of alike length together: few enough for scores of all items."""
    size = max(1, _CELLS // max(items, 1))
    order = np.argsort(sequences.lengths, kind="stable")
    for first in range(0, len(order), size):
        yield order[first : first + size]


def ranks_of(scorer: Scorer, sequences: Sequences, targets: Rows) -> Rows:
    """(u,): how many items that the user had not had are scored above each user's target; ties count half."""
    found = np.zeros(len(sequences), dtype=np.int64)
    for users in parts_of(sequences, scorer.items):
        part = sequences.of_users(users)
        found[users] = ranks_in(scorer.score(part), part, targets[users])
    return found


def ranks_in(scores: Vectors, sequences: Sequences, targets: Rows) -> Rows:
    """(u,): the targets' ranks in `scores` (u, n), which are lost in it."""
    at = np.arange(len(targets))
    own = scores[at, targets].copy()
    leave_out(scores, sequences)
    scores[at, targets] = -np.inf  # the target stands against the others, had before or not
    above = (scores > own[:, None]).sum(axis=1)
    return np.asarray(above + (scores == own[:, None]).sum(axis=1) // 2)


def taken_ranks_in(scores: Vectors, sequences: Sequences, takers: Rows, targets: Rows) -> Rows:
    """(t,): the same where user `takers[i]` took `targets[i]`, both (t,), and a user may have taken several."""
    own = scores[takers, targets]
    leave_out(scores, sequences)
    scores[takers, targets] = own  # what was taken stands against the others, had before or not
    found = np.empty(len(own), dtype=np.int64)
    for at, (taker, value) in enumerate(zip(takers, own, strict=True)):
        row = scores[taker]
        ties = int((row == value).sum()) - 1
        found[at] = int((row > value).sum()) + ties // 2
    return found


def leave_out(scores: Vectors, sequences: Sequences) -> None:
    """Put -inf into `scores` (u, n) where a user had the item before."""
    row = np.repeat(np.arange(len(sequences)), sequences.lengths)
    item = sequences.tokens < scores.shape[1]
    scores[row[item], sequences.tokens[item]] = -np.inf


def ndcg_of(ranks: Rows, k: int) -> Floats:
    """(u,): what a rank, from 0, is worth where one item is wanted: 1 / log2(rank + 2) among the first k."""
    return np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0.0)


def best_of(scorer: Scorer, sequences: Sequences, k: int, *, keep_seen: bool = False) -> tuple[Rows, Vectors]:
    """(u, k) item rows and their scores, the best first; of equal ones the lower row."""
    rows = np.zeros((len(sequences), k), dtype=np.int64)
    values = np.zeros((len(sequences), k), dtype=np.float32)
    for users in parts_of(sequences, scorer.items):
        part = sequences.of_users(users)
        scores = scorer.score(part)
        if not keep_seen:
            leave_out(scores, part)
        near = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        held = np.take_along_axis(scores, near, axis=1)
        order = np.argsort(-held, axis=1, kind="stable")
        rows[users] = np.take_along_axis(near, order, axis=1)
        values[users] = np.take_along_axis(held, order, axis=1)
    return rows, values
