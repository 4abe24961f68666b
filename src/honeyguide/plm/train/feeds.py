"""What a training loop is fed with, and how a batch that does not fit into memory is passed over in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput

Batch = dict[str, NDArray[np.generic]]
"""What a module's `forward` takes, by argument name; the first one has a row for each example."""


class Feed(Protocol):
    """An endless row of batches in which each is found by its number alone."""

    def batch(self, number: int) -> Batch:
        """The batch of that number, from 0; the same whenever it is asked for."""
        ...


@runtime_checkable
class Cuttable(Protocol):
    """A feed whose batches are not cut by taking some rows of every array, or not down to a single row."""

    @property
    def least(self) -> int:
        """Examples that a piece must have, for there to be something to learn from it."""
        ...

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """The examples from `begin` up to `end` of one of its batches, as a batch."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of a batch, and which share of the batch's loss it stands for."""

    batch: Batch
    share: float


def rows_of(batch: Batch) -> int:
    """How many examples a batch has."""
    return len(next(iter(batch.values())))


def tokens_in(batch: Batch) -> int:
    """How many tokens a batch has, padding left out: what its masks count, all its ids where it has no mask."""
    masks = [array for name, array in batch.items() if name.endswith("mask")]
    return sum(int(np.count_nonzero(mask)) for mask in masks) if masks else next(iter(batch.values())).size


def most_pieces(feed: Feed, batch: Batch) -> int:
    """Into how many pieces a batch can be cut."""
    return max(1, rows_of(batch) // least_rows(feed))


def least_rows(feed: Feed) -> int:
    """Examples that a piece of this feed's batches must have."""
    return feed.least if isinstance(feed, Cuttable) else 1


def pieces(feed: Feed, batch: Batch, count: int) -> list[Piece]:
    """A batch in `count` pieces that differ by one example at the most; fewer where it has too few examples.

    Shares follow how much a piece asks for, its `targets` where the batch has them and else its examples, so a loss
    that is their mean has the gradient of the whole batch. One that sets the batch's examples against each other is
    another one in pieces: half a contrastive batch has half as many negatives.
    """
    count = min(count, most_pieces(feed, batch))
    if count == 1:
        return [Piece(batch, 1.0)]
    rows = rows_of(batch)
    edges = [rows * place // count for place in range(count + 1)]
    parts = [cut(feed, batch, begin, end) for begin, end in pairwise(edges)]
    asked = [len(part.get("targets", next(iter(part.values())))) for part in parts]
    if not any(asked):
        asked = [rows_of(part) for part in parts]
    # a piece that asks for nothing has no loss
    return [Piece(part, n / sum(asked)) for part, n in zip(parts, asked, strict=True) if n]


def cut(feed: Feed, batch: Batch, begin: int, end: int) -> Batch:
    """The examples from `begin` up to `end` of one of the feed's batches, as a batch."""
    if isinstance(feed, Cuttable):
        return feed.cut(batch, begin, end)
    rows = rows_of(batch)
    odd = [name for name, array in batch.items() if len(array) != rows]
    if odd:
        raise InvalidInput(
            f"batches of {type(feed).__name__} cannot be cut, as {odd[0]!r} has not a row for each example: give it "
            "`cut` and `least`, or smaller batches"
        )
    return {name: array[begin:end] for name, array in batch.items()}


def cut_places(batch: Batch, begin: int, end: int) -> Batch:
    """Some rows of `ids` and `mask`, and of `places` in the flattened ids, with their `targets`, those within."""
    width = batch["ids"].shape[1]
    places = np.asarray(batch["places"], dtype=np.int64)
    inside = (places >= begin * width) & (places < end * width)
    return {
        "ids": batch["ids"][begin:end],
        "mask": batch["mask"][begin:end],
        "places": places[inside] - begin * width,
        "targets": batch["targets"][inside],
    }
