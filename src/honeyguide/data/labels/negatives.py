"""Negatives where nobody wrote down what was shown: items drawn by their popularity, with the odds of each draw.

Popular items are drawn more often, as count ** 0.75 (Mikolov et al. 2013), so that a model cannot win by popularity
alone; a softmax over drawn items is set right by subtracting the log of the probability with which each was drawn
(Yi et al. 2019). Never drawn for a user is what they had to do with up to that moment, in whatever way but being
shown it. What they take later is drawn like anything else: sparing it would tell the model the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.types import EVENT_KINDS, Floats, Rows

_SHOWN, _DISMISSED = EVENT_KINDS.index("impression"), EVENT_KINDS.index("dismiss")
_TOTAL = 2**52
_MOSTLY = 0.5
"""Where a user knows more than this share of the draws, rejecting is slower than drawing from the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """How often each of n items is drawn: `weight` (n,) int64, whole so that probabilities add up exactly."""

    weight: NDArray[np.int64]

    @classmethod
    def of(cls, counts: NDArray[Any], *, alpha: float = 0.75) -> Proposal:
        """Draws as (n,) counts to the power `alpha`: 1 is popularity, 0 all alike; never what has a count of 0."""
        if not 0 <= alpha < np.inf:
            raise InvalidInput(f"alpha must be at least 0, got {alpha}")
        count = np.asarray(counts, dtype=np.float64)
        if not ((count >= 0) & np.isfinite(count)).all() or not count.any():
            raise InvalidInput("counts must be finite, at least 0, and not all 0: train on a log with events")
        drawn = count > 0
        share = np.where(drawn, count / count.max(), 1.0) ** alpha * drawn
        whole = np.round(share / share.sum() * _TOTAL).astype(np.int64)
        return cls(np.where(drawn, np.maximum(whole, 1), 0))

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def log_q(self) -> Floats:
        """(n,): the log of the probability of each item, for a softmax over the items of a batch; -inf for never."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.weight) - np.log(self.weight.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """k negatives for each of m positives, drawn with replacement.

    `item` (m, k) int32 catalogue rows and `log_q` (m, k) float64, the log of the probability with which that user
    was given that item at that moment: the mean of exp(score - log_q) over a row has the sum of exp(score) over all
    items that can be drawn as its expectation. -1 and NaN where the user knows every item that can be drawn.
    """

    item: NDArray[np.int32]
    log_q: Floats


def item_counts(table: EventTable, n_items: int) -> Rows:
    """(n_items,): how many events are about each item, impressions and dismissals not counted."""
    return np.bincount(table.item[taken(table)], minlength=n_items).astype(np.int64)


def taken(table: EventTable) -> NDArray[np.bool_]:
    """(n,): which events are about an item, impressions and dismissals not counted."""
    return np.asarray((table.item >= 0) & (table.kind != _SHOWN) & (table.kind != _DISMISSED))


def sample_negatives(
    table: EventTable, positives: Rows, proposal: Proposal, *, k: int, rng: np.random.Generator
) -> Sampled:
    """Draw k items for each of the events of the table at `positives`, none that its user knew by then.

    Counts for the proposal should come from the training part alone. The table has to hold the users' whole past:
    what is not in it cannot be left out. An item is known from the user's first event about it that is no
    impression, at that very moment too; so the positive itself is never drawn.
    """
    return Sampler.of(table, proposal).sample(positives, k=k, rng=rng)


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """Draws negatives for events of one table, as often as it is asked."""

    table: EventTable
    proposal: Proposal
    known: _Known

    @classmethod
    def of(cls, table: EventTable, proposal: Proposal) -> Sampler:
        """Ready to draw; InvalidInput where the table speaks of items that the proposal lacks."""
        if len(proposal) <= table.item.max(initial=-1):
            raise InvalidInput(
                f"the proposal has {len(proposal)} items, the table speaks of more: count them all"
            )
        return cls(table, proposal, _Known.of(table, len(proposal)))

    def sample(self, positives: Rows, *, k: int, rng: np.random.Generator) -> Sampled:
        """What `sample_negatives` draws."""
        if k < 1:
            raise InvalidInput(f"k must be at least 1, got {k}")
        weight, known = self.proposal.weight, self.known
        user = self.table.user[positives].astype(np.int64)
        rank = known.rank(self.table.time_us[positives])
        free = weight.sum() - known.weight_by(user, rank, weight)
        item = np.full((len(user), k), -1, dtype=np.int64)
        crowded = free <= (1 - _MOSTLY) * weight.sum()
        for row in np.flatnonzero(crowded & (free > 0)):
            left = weight.copy()
            left[known.items_by(user[row], rank[row])] = 0
            item[row] = _draw(np.cumsum(left), k, rng)
        rows = np.repeat(np.flatnonzero(~crowded), k)
        item[~crowded] = _rejecting(known, user[rows], rank[rows], self.proposal, rng).reshape(-1, k)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_q = np.log(weight[item]) - np.log(free)[:, None]
        return Sampled(item.astype(np.int32), np.where(item >= 0, log_q, np.nan))


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """From when each user knows which items.

    Pairs by user and time: `item` (p,), `place` (p,) user and rank of the time in one, `starts` (users + 1,).
    The same pairs by user and item: `key` (p,) both in one, `since` (p,) the rank. `moments` are the times by rank.
    """

    item: NDArray[np.int64]
    place: NDArray[np.int64]
    starts: NDArray[np.int64]
    key: NDArray[np.int64]
    since: NDArray[np.int64]
    moments: NDArray[np.int64]
    n_items: int

    @classmethod
    def of(cls, table: EventTable, n_items: int) -> _Known:
        about = (table.item >= 0) & (table.kind != _SHOWN)
        keys = table.user[about].astype(np.int64) * n_items + table.item[about]
        key, first = np.unique(
            keys, return_index=True
        )  # the table is in time order: the first is the earliest
        moments = np.unique(table.time_us)
        since = np.searchsorted(moments, table.time_us[about][first])
        owner = key // n_items
        place = owner * len(moments) + since
        order = np.argsort(place, kind="stable")
        starts = np.searchsorted(owner, np.arange(len(table.users) + 1))
        return cls(key[order] % n_items, place[order], starts, key, since, moments, n_items)

    def rank(self, time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times as ranks, which keep user x time inside 64 bits."""
        return np.searchsorted(self.moments, time_us)

    def knows(
        self, user: NDArray[np.int64], item: NDArray[np.int64], rank: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each user knows the item by then."""
        if not len(self.key):
            return np.zeros(len(user), dtype=np.bool_)
        wanted = user * self.n_items + item
        at = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        return np.asarray((self.key[at] == wanted) & (self.since[at] <= rank))

    def weight_by(
        self, user: NDArray[np.int64], rank: NDArray[np.int64], weight: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The weight of all items that each user knows by then."""
        # whole numbers wrap around when the sum runs over, and differences of wrapped sums are exact all the same
        running = np.concatenate([[0], np.cumsum(weight[self.item])])
        return np.asarray(running[self._end(user, rank)] - running[self.starts[user]])

    def items_by(self, user: np.int64, rank: np.int64) -> NDArray[np.int64]:
        """The items that one user knows by then."""
        end = self._end(np.array([user]), np.array([rank]))[0]
        return self.item[self.starts[user] : end]

    def _end(self, user: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.place, user * len(self.moments) + rank, side="right")


def _rejecting(
    known: _Known,
    user: NDArray[np.int64],
    rank: NDArray[np.int64],
    proposal: Proposal,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """One item for each of these, drawn again as long as it is known."""
    running = np.cumsum(proposal.weight)
    item = _draw(running, len(user), rng)
    again = np.flatnonzero(known.knows(user, item, rank))
    while len(again):
        item[again] = _draw(running, len(again), rng)
        again = again[known.knows(user[again], item[again], rank[again])]
    return item


def _draw(running: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,): positions drawn in proportion to the weights that `running` sums up."""
    return np.searchsorted(running, rng.integers(0, running[-1], size=n), side="right")
