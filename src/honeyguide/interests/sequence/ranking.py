"""Ranking the whole catalogue for users by the sequence model, what they had before left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.types import Rows, Vectors

_CELLS = 16_000_000  # scores that are held at once: 64 MB


def scores_of(
    network: SequenceNetwork, sequences: Sequences, *, keep_seen: bool = False
) -> Iterator[tuple[Rows, Vectors]]:
    """Users (p,) and their scores of all items (p, n), part by part; -inf for what they had before."""
    size = max(1, _CELLS // max(network.items, 1))
    # in the order of lengths, so that a part is read in few pieces
    order = np.argsort(np.minimum(sequences.lengths, network.shape.longest), kind="stable")
    for first in range(0, len(order), size):
        users = order[first : first + size]
        part = sequences.of_users(users)
        scores = network.scores(network.read(part))
        if not keep_seen:
            row = np.repeat(np.arange(len(users)), part.lengths)
            item = part.tokens < network.items
            scores[row[item], part.tokens[item]] = -np.inf
        yield users, scores


def ranks_of(network: SequenceNetwork, sequences: Sequences, targets: Rows) -> Rows:
    """(u,): how many items that the user had not had are scored above each user's target; ties count half."""
    found = np.zeros(len(sequences), dtype=np.int64)
    for users, scores in scores_of(network, sequences, keep_seen=True):
        part, wanted = sequences.of_users(users), targets[users]
        at = np.arange(len(users))
        target = scores[at, wanted].copy()
        row = np.repeat(at, part.lengths)
        item = part.tokens < network.items
        scores[row[item], part.tokens[item]] = -np.inf
        scores[at, wanted] = -np.inf  # the target stands against the others, had before or not
        above = (scores > target[:, None]).sum(axis=1)
        found[users] = above + (scores == target[:, None]).sum(axis=1) // 2
    return found


def best_of(
    network: SequenceNetwork, sequences: Sequences, k: int, *, keep_seen: bool = False
) -> tuple[Rows, Vectors]:
    """(u, k) item rows and their scores, the best first."""
    rows = np.zeros((len(sequences), k), dtype=np.int64)
    values = np.zeros((len(sequences), k), dtype=np.float32)
    for users, scores in scores_of(network, sequences, keep_seen=keep_seen):
        near = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        held = np.take_along_axis(scores, near, axis=1)
        order = np.argsort(-held, axis=1, kind="stable")
        rows[users] = np.take_along_axis(near, order, axis=1)
        values[users] = np.take_along_axis(held, order, axis=1)
    return rows, values
