"""Two views of one history that mean the same user: cropped, masked or reordered (CL4SRec, Xie et al. 2022).

What a contrastive objective is fed with that pulls both views together. Like every feed it is found by number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.train import feeds
from honeyguide.types import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """n histories of item rows, in time order: history i is items[starts[i]:starts[i + 1]]."""

    items: Rows
    starts: Rows

    def __post_init__(self) -> None:
        whole = len(self.starts) > 0 and self.starts[0] == 0 and self.starts[-1] == len(self.items)
        if not whole or (np.diff(self.starts) < 0).any():
            raise InvalidInput("starts must ascend from 0 to the number of items")

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Rows:
        """(n,): how many items each history has."""
        return np.diff(self.starts)

    def of_at_least(self, length: int) -> Histories:
        """Only the histories of `length` items and more."""
        long = self.lengths >= length
        starts = np.concatenate([[0], np.cumsum(self.lengths[long])]).astype(np.int64)
        return Histories(self.items[np.repeat(long, self.lengths)], starts)

    def last(self, row: int, limit: int) -> Rows:
        """The last `limit` items of a history."""
        end = int(self.starts[row + 1])
        return self.items[max(int(self.starts[row]), end - limit) : end]


@dataclass(frozen=True, slots=True)
class Operations:
    """Which share of a history is left by a crop, hidden by a mask, and shuffled by a reorder; 0 leaves one out."""

    crop: float = 0.6
    mask: float = 0.3
    reorder: float = 0.6

    def __post_init__(self) -> None:
        for name in ("crop", "mask", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if not (self.crop or self.mask or self.reorder):
            raise InvalidInput("crop, mask and reorder are all 0: then both views are the history itself")

    def views(self, history: Rows, hidden: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Two views of a history, each by an operation drawn at random; `hidden` stands for what is masked."""
        wanted = [name for name in ("crop", "mask", "reorder") if getattr(self, name)]
        first, second = (wanted[int(rng.integers(0, len(wanted)))] for _ in range(2))
        return self._view(first, history, hidden, rng), self._view(second, history, hidden, rng)

    def _view(self, name: str, history: Rows, hidden: int, rng: np.random.Generator) -> Rows:
        if name == "crop":
            return crop(history, self.crop, rng)
        if name == "mask":
            return mask(history, self.mask, hidden, rng)
        return reorder(history, self.reorder, rng)


def crop(history: Rows, share: float, rng: np.random.Generator) -> Rows:
    """A stretch of `share` of the history, at least one item of it."""
    if not len(history):
        return history
    begin, end = _stretch(len(history), max(1, int(share * len(history))), rng)
    return history[begin:end]


def mask(history: Rows, share: float, hidden: int, rng: np.random.Generator) -> Rows:
    """The history with `hidden` in `share` of its places; of a history of one item that item stays."""
    masked = history.copy()
    if len(history) > 1:
        masked[rng.choice(len(history), int(share * len(history)), replace=False)] = hidden
    return masked


def reorder(history: Rows, share: float, rng: np.random.Generator) -> Rows:
    """The history with a stretch of `share` of it in another order."""
    begin, end = _stretch(len(history), int(share * len(history)), rng)
    shuffled = history.copy()
    shuffled[begin:end] = rng.permutation(history[begin:end])
    return shuffled


def _stretch(n: int, length: int, rng: np.random.Generator) -> tuple[int, int]:
    begin = int(rng.integers(0, n - length + 1))
    return begin, begin + length


@dataclass(frozen=True, eq=False)
class ViewFeed:
    """Batches of two views of some histories: `first` and `second` (n, length) item rows, with masks.

    `hidden` and `pad` are rows beyond the catalogue's: of what is masked, and of what fills a line up.
    """

    histories: Histories
    order: Shuffled
    limit: int
    hidden: int
    pad: int
    operations: Operations
    seed: int

    least: ClassVar[int] = 2  # one history alone has nothing to be told from

    @classmethod
    def of(
        cls,
        histories: Histories,
        *,
        limit: int,
        hidden: int,
        pad: int,
        operations: Operations | None = None,
        rows: int = 256,
        seed: int = 0,
    ) -> ViewFeed:
        """A feed over the last `limit` items of each history; of fewer than two items there are no two views."""
        if hidden == pad or (len(histories.items) and min(hidden, pad) <= int(histories.items.max())):
            raise InvalidInput(f"hidden and pad must be two rows that no item has, got {hidden} and {pad}")
        if limit < 2:
            raise InvalidInput(f"limit must be at least 2, got {limit}")
        long = histories.of_at_least(2)
        order = Shuffled(np.ones(len(long), dtype=np.int64), rows, seed, rows)
        return cls(long, order, limit, hidden, pad, operations or Operations(), seed)

    def batch(self, number: int) -> dict[str, NDArray[np.generic]]:
        """The batch of that number."""
        rng = np.random.default_rng([self.seed, number, 8])
        found = [
            self.operations.views(self.histories.last(int(row), self.limit), self.hidden, rng)
            for row in self.order.batch(number)
        ]
        first, first_mask = self._lines([one for one, _ in found])
        second, second_mask = self._lines([other for _, other in found])
        return {"first": first, "first_mask": first_mask, "second": second, "second_mask": second_mask}

    def cut(self, batch: feeds.Batch, begin: int, end: int) -> feeds.Batch:
        """Some histories of a batch."""
        return {name: array[begin:end] for name, array in batch.items()}

    def _lines(self, views: list[Rows]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        lines = np.full((len(views), max(map(len, views))), self.pad, dtype=np.int64)
        filled = np.zeros_like(lines)
        for line, view in enumerate(views):
            lines[line, : len(view)] = view
            filled[line, : len(view)] = 1
        return lines, filled
