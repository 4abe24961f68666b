"""Batches of users' events for the sequence model: those of alike length go together, so that little is padded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Rows


@dataclass(frozen=True, eq=False)
class SequenceFeed:
    """Batches of b users: `tokens`, `kinds`, `gaps` (b, l), padded behind; what follows is asked at `places` (p,).

    Those are places of the flattened (b, l + 1), for before the first event stands nobody; `ahead` (b, l + 1) are the
    classes of the time until it follows, `targets` (p,) the items that followed and `negatives` (k,) those that they
    are told from, drawn evenly among `known`.
    Each window of `longest` + 1 events of a user is a user of its own here.
    """

    sequences: Sequences
    windows: Rows
    """(w, 2): where windows begin and end among the events."""
    items: int
    known: Rows
    longest: int
    negatives: int
    order: Shuffled
    seed: int

    @classmethod
    def of(
        cls, sequences: Sequences, items: int, *, longest: int, negatives: int, batch: int, seed: int = 0
    ) -> Self:
        """Batches over all events; tokens from `items` on are queries, which are read and never asked for."""
        windows = _windows(sequences, longest)
        followed = sequences.tokens[sequences.tokens < items]
        if not len(windows) or not len(followed):
            raise InvalidInput("no user has done anything with an item: import events first")
        known = np.unique(followed)
        lengths = windows[:, 1] - windows[:, 0]
        order = Shuffled(lengths, int(lengths.max()) * batch, seed, batch)
        return cls(sequences, windows, items, known, longest, negatives, order, seed)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.order.per_epoch

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        windows = self.windows[self.order.batch(number)]
        lengths = windows[:, 1] - windows[:, 0]
        width = int(lengths.max())
        at = windows[:, :1] + np.arange(width)
        there = np.arange(width) < lengths[:, None]
        at = np.where(there, at, windows[:, :1])
        tokens = self.sequences.tokens[at]
        asked = there & (tokens < self.items)
        # a window that begins in the middle of a history has nothing before it that its first event follows from
        asked[:, 0] &= np.isin(windows[:, 0], self.sequences.starts)
        read = max(width - 1, 1)
        gaps = self.sequences.gaps[at].astype(np.int64)
        ahead = np.zeros((len(windows), read + 1), dtype=np.int64)
        ahead[:, 1:width] = gaps[:, 1:]
        return {
            "tokens": tokens[:, :read],
            "kinds": self.sequences.kinds[at][:, :read].astype(np.int64),
            "gaps": gaps[:, :read],
            "ahead": ahead,
            "places": _places(asked, read + 1),
            "targets": tokens[asked],
            "negatives": self._negatives(number),
        }

    def _negatives(self, number: int) -> NDArray[np.int64]:
        if len(self.known) <= self.negatives:
            return self.known
        rng = np.random.default_rng([self.seed, number])
        return self.known[rng.integers(0, len(self.known), self.negatives)]

    @property
    def least(self) -> int:
        """One: the negatives are the same for all."""
        return 1

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some users of a batch, with all negatives."""
        width = batch["tokens"].shape[1] + 1
        places = np.asarray(batch["places"], dtype=np.int64)
        inside = (places >= begin * width) & (places < end * width)
        rows = {name: batch[name][begin:end] for name in ("tokens", "kinds", "gaps", "ahead")}
        return {
            **rows,
            "places": places[inside] - begin * width,
            "targets": batch["targets"][inside],
            "negatives": batch["negatives"],
        }


def _places(asked: NDArray[np.bool_], width: int) -> Rows:
    users, at = np.nonzero(asked)
    return np.asarray(users * width + at, dtype=np.int64)


def _windows(sequences: Sequences, longest: int) -> Rows:
    """(w, 2): every user's events in pieces of `longest` + 1 that share one event with the piece before."""
    found = []
    for begin, end in zip(sequences.starts[:-1].tolist(), sequences.starts[1:].tolist(), strict=True):
        if end - begin <= longest + 1:
            found.append((begin, end))
        else:  # cut from the end on: the newest events stand in a full window
            edges = list(range(end, begin, -longest))
            found += [(max(edge - longest - 1, begin), edge) for edge in edges if edge - begin > 1]
    windows = np.array(found, dtype=np.int64).reshape(-1, 2)
    return windows[windows[:, 1] > windows[:, 0]]
