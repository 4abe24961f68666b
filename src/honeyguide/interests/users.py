"""What is known of a user: a history that folds event by event, and the features a policy sees of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.data.table import to_us
from honeyguide.interests.items import ItemFacts
from honeyguide.interests.sequence.histories import READ, Sequences
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.recent import NOTHING, Recent
from honeyguide.types import EVENT_KINDS, Event, Grade, Rows, Vectors

WEEK_US = 7 * 86_400 * 1_000_000
DAY_US = 86_400 * 1_000_000
MILLI = 1000  # event weights are whole thousandths: sums of integers do not depend on their order

BEHAVIOUR = (
    "bias",
    "popularity",
    "known",
    "weight",
    "recency",
    "rate",
    "rate x recency",
    "due",
    "rebought",
    "rate x rebought",
    "interest share",
    "top interest share",
    "taste",
    "new x popularity",
    "new x interest share",
)
"""The features about user and item together; the item's own taste components come after them."""
SEQUENCE = ("next", "new x next")
"""Where there is a sequence model: how likely the item comes next, and the same of items the user never took."""


_KNOWN = BEHAVIOUR.index("known")
_TOUCHED = EVENT_KINDS.index("purchase")  # what is too long ago for the network to read has no other kind


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """One user's past, folded: per item touched (rows ascending) its weight, first and last time; active days.

    `rows` (p,) int64, `weight` (p,) int64 in thousandths of a full reward, `first_us` and `last_us` (p,) int64
    epoch microseconds, `days` (q,) int64 distinct days ascending, `seen` (s,) uint64 hashes of folded event ids;
    `recent` are the newest events, which the sequence model reads.
    """

    rows: NDArray[np.int64]
    weight: NDArray[np.int64]
    first_us: NDArray[np.int64]
    last_us: NDArray[np.int64]
    days: NDArray[np.int64]
    seen: NDArray[np.uint64]
    recent: Recent = NOTHING

    @classmethod
    def of(
        cls,
        rows: NDArray[np.int64],
        weight: NDArray[np.int64],
        time_us: NDArray[np.int64],
        recent: Recent = NOTHING,
    ) -> History:
        """The history of many events at once: item rows, weights in thousandths, and times."""
        unique, group = np.unique(rows, return_inverse=True)
        total = np.zeros(len(unique), dtype=np.int64)
        first = np.full(len(unique), np.iinfo(np.int64).max)
        last = np.full(len(unique), np.iinfo(np.int64).min)
        np.add.at(total, group, weight)
        np.minimum.at(first, group, time_us)
        np.maximum.at(last, group, time_us)
        days, seen = np.unique(time_us // DAY_US), np.empty(0, dtype=np.uint64)
        return cls(unique, total, first, last, days, seen, recent)

    def position(self, row: int) -> tuple[int, bool]:
        """Where `row` stands or would stand among `rows`, and whether it is there."""
        at = int(np.searchsorted(self.rows, row))
        return at, at < len(self.rows) and self.rows[at] == row


def sequence_of(history: History, items: int, now_us: int | None = None) -> Sequences:
    """All that a sequence model of so many items is asked with: what was touched long ago once, then the newest."""
    recent = history.recent
    older = np.flatnonzero(~np.isin(history.rows, recent.tokens) & (history.rows < items))
    older = older[np.argsort(history.last_us[older], kind="stable")]
    longer = Recent.of(
        np.concatenate([history.rows[older], recent.tokens]),
        np.concatenate([np.full(len(older), _TOUCHED, dtype=np.int8), recent.kinds]),
        np.concatenate([history.last_us[older], recent.time_us]),
    )
    return longer.sequence(now_us)


class ShopperModel:
    """Histories of shoppers and what they say about items: a `UserModel` whose vector is the user's taste.

    With a `sequence` model it knows what is likely next; policies and candidates do where they are to see it.
    """

    def __init__(
        self,
        catalog: Catalog,
        items: ItemFacts,
        *,
        grade: Grade,
        half_life_days: float,
        sequence: SequenceModel | None = None,
        sees_next: bool = True,
    ) -> None:
        self.catalog = catalog
        self.items = items
        self.grade = grade
        self.half_life_us = half_life_days * DAY_US
        self.sequence = sequence
        self.sees_next = sequence is not None and sees_next

    @property
    def dim(self) -> int:
        """How many features an item has for a policy."""
        return len(BEHAVIOUR) + int(self.items.vectors.shape[1]) + (len(SEQUENCE) if self.sees_next else 0)

    def start(self) -> History:
        """The history of somebody who has done nothing."""
        none = np.empty(0, dtype=np.int64)
        return History(none, none, none, none, none, np.empty(0, dtype=np.uint64))

    def fold(self, state: History, event: Event) -> History:
        """The history after `event`; what carries no weight (an impression, a search) leaves only a day."""
        mark = np.uint64(_hash(event.event_id))
        at = int(np.searchsorted(state.seen, mark))
        if at < len(state.seen) and state.seen[at] == mark:
            return state
        time_us = to_us(event.time)
        seen = np.insert(state.seen, at, mark)
        days = np.union1d(state.days, [time_us // DAY_US])
        weight = round(self.grade(event.kind) * MILLI)
        recent = self._read(state.recent, event, time_us, mark)
        if event.item_id is None or weight == 0:
            return replace(state, days=days, seen=seen, recent=recent)
        touched = _touch(state, self.catalog.row(event.item_id), weight, time_us)
        return replace(touched, days=days, seen=seen, recent=recent)

    def _read(self, recent: Recent, event: Event, time_us: int, mark: np.uint64) -> Recent:
        if self.sequence is None or event.kind not in READ:
            return recent
        token = self._token(event)
        if token is None:
            return recent
        kind, longest = EVENT_KINDS.index(event.kind), self.sequence.network.shape.longest
        return recent.add(token, kind, time_us, mark, longest=longest)

    def _token(self, event: Event) -> int | None:
        """What the sequence model reads of an event: its item, or else its search where that is known."""
        assert self.sequence is not None
        if event.item_id is not None:
            row = self.catalog.row(event.item_id)
            return row if row < self.sequence.items else None  # it was put after the fit
        return None if event.query is None else self.sequence.query_token(event.query)

    def vector(self, state: History) -> Vectors:
        """(t,): the mean vector of what was touched, old touches fading by half-life; unit norm or zero."""
        if not len(state.rows):
            return np.zeros(self.items.vectors.shape[1], dtype=np.float32)
        age = (state.last_us.max() - state.last_us) / self.half_life_us
        pull = np.log1p(state.weight / MILLI) * np.exp2(-age)
        taste = pull @ self.items.vectors[state.rows].astype(np.float64)
        norm = float(np.linalg.norm(taste))
        return np.asarray(taste / norm if norm > 0 else taste, dtype=np.float32)

    def interest_weight(self, state: History) -> NDArray[np.float64]:
        """(leaves,): how much of the user's weight lies in each interest, summing to 1 or all 0."""
        leaves = np.bincount(
            self.items.leaf[state.rows], weights=state.weight, minlength=len(self.items.top_of_leaf)
        )
        return np.asarray(leaves / max(leaves.sum(), 1.0))

    def features(self, state: History, rows: Rows, now_us: int) -> Vectors:
        """(n, d) float32: what a policy sees of this user and these items: BEHAVIOUR, the taste vector, SEQUENCE."""
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        self._behaviour(out, state, rows, now_us)
        taste = slice(len(BEHAVIOUR), len(BEHAVIOUR) + self.items.vectors.shape[1])
        out[:, taste] = self.items.vectors[rows]
        if self.sees_next:
            likely = self.likely(state, rows, now_us)
            out[:, taste.stop] = likely
            out[:, taste.stop + 1] = np.where(out[:, _KNOWN] > 0, 0.0, likely)
        return out

    def likely(self, state: History, rows: Rows, now_us: int | None = None) -> Vectors:
        """(n,) in 0..1: how much likelier than any other item each is to be next, by the logarithm; 1 is certain.

        0 for what was put after the fit: nobody was seen to take it.
        """
        if self.sequence is None:
            return np.zeros(len(rows), dtype=np.float32)
        items = self.sequence.items
        known = rows < items
        if not known.all():
            found = np.zeros(len(rows), dtype=np.float32)
            found[known] = self.likely(state, rows[known], now_us) if known.any() else 0.0
            return found
        chances = self.sequence.chances(sequence_of(state, items, now_us), rows)
        return np.asarray(np.minimum(np.log1p(items * chances) / np.log1p(items), 1.0), dtype=np.float32)

    def remaining_visits(self, state: History, now_us: int, horizon_days: float) -> float:
        """Visits (days with activity) expected within the horizon: a gamma-Poisson rate with a weekly prior."""
        if not len(state.days):
            return horizon_days / 28
        span_days = max(now_us // DAY_US - int(state.days[0]), 1)
        rate = (len(state.days) + 1.0) / (span_days + 14.0)
        return float(rate * horizon_days)

    def _behaviour(self, out: Vectors, state: History, rows: Rows, now_us: int) -> None:
        items = self.items
        known, weight, weeks_known, weeks_since = _touches(state, rows, now_us)
        recency = np.where(known, np.exp(-weeks_since / 6.0), 0.0)
        rate = 1.0 - np.exp(-2.0 * weight / (weeks_known + 4.0))  # chance of a purchase within two weeks
        interval = weeks_known / np.maximum(weight, 1.0) + 0.5
        due = np.where(known, np.exp(-np.abs(np.log((weeks_since + 0.5) / interval))), 0.0)
        share = self.interest_weight(state)
        top_share = np.bincount(items.top_of_leaf, weights=share)
        in_leaf = np.sqrt(share[items.leaf[rows]])
        in_top = np.sqrt(top_share[items.top_of_leaf[items.leaf[rows]]])
        popularity, rebought = items.popularity[rows], items.rebought[rows]
        columns: tuple[NDArray[Any], ...] = (
            np.ones(len(rows)),
            popularity,
            known,
            np.log1p(weight) / 3.0,
            recency,
            rate,
            rate * recency,
            due,
            rebought,
            rate * rebought,
            in_leaf,
            in_top,
            items.vectors[rows] @ self.vector(state),
            ~known * popularity,
            ~known * in_leaf,
        )
        for index, column in enumerate(columns):
            out[:, index] = column


def _touch(state: History, row: int, weight: int, time_us: int) -> History:
    at, known = state.position(row)
    if not known:
        return replace(
            state,
            rows=np.insert(state.rows, at, row),
            weight=np.insert(state.weight, at, weight),
            first_us=np.insert(state.first_us, at, time_us),
            last_us=np.insert(state.last_us, at, time_us),
        )
    weights, first, last = state.weight.copy(), state.first_us.copy(), state.last_us.copy()
    weights[at] += weight
    first[at] = min(int(first[at]), time_us)
    last[at] = max(int(last[at]), time_us)
    return replace(state, weight=weights, first_us=first, last_us=last)


def _touches(
    state: History, rows: Rows, now_us: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each row: known, weight, weeks since the first and weeks since the last touch (0 where unknown)."""
    if not len(state.rows):
        nothing = np.zeros(len(rows))
        return np.zeros(len(rows), dtype=np.bool_), nothing, nothing, nothing
    at = np.minimum(np.searchsorted(state.rows, rows), len(state.rows) - 1)
    known = state.rows[at] == rows
    weight = np.where(known, state.weight[at] / MILLI, 0.0)
    weeks_known = np.where(known, np.maximum(now_us - state.first_us[at], 0) / WEEK_US, 0.0)
    weeks_since = np.where(known, np.maximum(now_us - state.last_us[at], 0) / WEEK_US, 0.0)
    return known, weight, weeks_known, weeks_since


def _hash(event_id: str) -> int:
    digest = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
