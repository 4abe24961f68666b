"""What was shown and not taken: impressions as negatives, the surest being those that were skipped.

A user reads a page from the top (Joachims 2002): who took the third item has seen the two above it and did not want
them. What stands below the lowest item that was taken may not have been seen at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import database, literal
from honeyguide.data.labels.rewards import StarScale, graded
from honeyguide.data.labels.stored import stored
from honeyguide.data.labels.visits import in_us
from honeyguide.data.table import number_distinct, plain
from honeyguide.types import EVENT_KINDS, Grade, Rows

_DISMISS = EVENT_KINDS.index("dismiss")
_LOWEST = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """p pages in time order; the slots of page i stand at starts[i]:starts[i + 1], by position, none twice.

    `users` are the user ids; `user` (p,) int32 rows into them, `time_us` (p,) int64 the page's first impression,
    `starts` (p + 1,) int64. Per slot `item` int32 catalogue row, `position` int32 with -1 where none was logged,
    `propensity` float64 the logged probability of having been chosen, NaN where there is none, `reward` float64 the
    best grade of the reactions to it, `dismissed` bool whether it was waved away, and `skipped` bool whether it
    earned nothing though an item below it did.
    """

    users: tuple[str, ...]
    user: NDArray[np.int32]
    time_us: NDArray[np.int64]
    starts: NDArray[np.int64]
    item: NDArray[np.int32]
    position: NDArray[np.int32]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    dismissed: NDArray[np.bool_]
    skipped: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user)

    @property
    def page(self) -> Rows:
        """(slots,): the page of each slot."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @property
    def sure_negative(self) -> NDArray[np.bool_]:
        """(slots,): what was seen and not wanted: skipped, or waved away without earning anything."""
        return np.asarray(self.skipped | (self.dismissed & (self.reward == 0)))

    @property
    def negative(self) -> NDArray[np.bool_]:
        """(slots,): what was shown and earned nothing, seen or not."""
        return np.asarray(self.reward == 0)

    def with_full_window(self, end_us: int, window_days: float) -> Shown:
        """The pages whose reward window is over at `end_us`, the log's end: before that, silence is no answer."""
        return self.take(self.time_us + in_us(window_days) <= end_us)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Shown:
        """The pages that a mask or positions choose."""
        pages = np.arange(len(self))[chosen]
        sizes = np.diff(self.starts)[pages]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        slots = np.repeat(self.starts[pages] - starts[:-1], sizes) + np.arange(starts[-1])
        return replace(
            self,
            user=self.user[pages],
            time_us=self.time_us[pages],
            starts=starts,
            item=self.item[slots],
            position=self.position[slots],
            propensity=self.propensity[slots],
            reward=self.reward[slots],
            dismissed=self.dismissed[slots],
            skipped=self.skipped[slots],
        )


def load_shown(
    path: Path, catalog: Catalog, *, grade: Grade, window_days: float, scale: StarScale | None = None
) -> Shown:
    """The impressions of an events.parquet as pages, with what came of each.

    A page is what one decision showed within the window; impressions without a `decision_id` are one page where the
    user saw them at the same moment. A reaction is what the user did about the item from the page's first moment on
    within the window; one that names a decision counts for that one only. UnknownItem.
    """
    with database() as db:
        db.execute(f"CREATE VIEW events AS {stored(db, path, EVENTS)}")
        _make_slots(db, in_us(window_days))
        users = number_distinct(db, "user_id", "people")
        items = number_distinct(db, "item_id", "items")
        found = db.execute("""
            SELECT page, people.row::INTEGER AS user, time_us, items.row::INTEGER AS item,
                   coalesce(position, -1)::INTEGER AS position,
                   coalesce(propensity, 'nan'::DOUBLE)::DOUBLE AS propensity
            FROM chosen JOIN people USING (user_id) JOIN items USING (item_id) ORDER BY slot""").fetchnumpy()
        reactions = _reactions(db, in_us(window_days))
    page, user, time_us, item, position, propensity = (plain(column) for column in found.values())
    starts = np.flatnonzero(np.diff(page, prepend=-1, append=page.max(initial=-1) + 1))
    reward, dismissed = np.zeros(len(page)), np.zeros(len(page), dtype=np.bool_)
    slot, kind, value = (plain(column) for column in reactions.values())
    np.maximum.at(reward, slot, graded(kind, value, grade=grade, scale=scale))
    dismissed[slot[kind == _DISMISS]] = True
    return Shown(
        users=users,
        user=user[starts[:-1]],
        time_us=time_us[starts[:-1]],
        starts=starts,
        item=catalog.rows(items).astype(np.int32)[item],
        position=position,
        propensity=propensity,
        reward=reward,
        dismissed=dismissed,
        skipped=_skipped(page, position, reward),
    )


def _make_slots(db: duckdb.DuckDBPyConnection, window_us: int) -> None:
    """The table `chosen`: every shown item of every page once, where it stood highest, numbered in order."""
    db.execute("""
        CREATE TABLE seen AS
        SELECT event_id, user_id, item_id, decision_id, epoch_us(time) AS time_us, position, propensity,
               CASE WHEN decision_id IS NULL THEN epoch_us(time) END AS moment
        FROM events WHERE kind = 'impression'""")
    db.execute("""
        CREATE TABLE pages AS
        SELECT *, row_number() OVER (ORDER BY time_us, user_id, decision_id, moment) - 1 AS page
        FROM (SELECT user_id, decision_id, moment, min(time_us) AS time_us FROM seen GROUP BY ALL)""")
    db.execute(f"""
        CREATE TABLE chosen AS
        SELECT *, row_number() OVER (ORDER BY page, position NULLS LAST, item_id) - 1 AS slot
        FROM (SELECT page, pages.user_id, pages.decision_id, pages.time_us, item_id, min(position) AS position,
                     arg_min(propensity, (coalesce(position, {_LOWEST}), seen.time_us, event_id)) AS propensity
              FROM seen JOIN pages ON seen.user_id = pages.user_id
                   AND seen.decision_id IS NOT DISTINCT FROM pages.decision_id
                   AND seen.moment IS NOT DISTINCT FROM pages.moment
                   AND seen.time_us <= pages.time_us + {window_us}
              GROUP BY ALL)""")


def _reactions(db: duckdb.DuckDBPyConnection, window_us: int) -> dict[str, NDArray[np.generic]]:
    """(slot, kind, value) of everything that was done about what was shown."""
    kinds = ", ".join(literal(kind) for kind in EVENT_KINDS)
    return db.execute(f"""
        SELECT slot, (list_position([{kinds}], kind) - 1)::TINYINT AS kind,
               coalesce(value, 'nan'::DOUBLE)::DOUBLE AS value
        FROM chosen JOIN events ON events.user_id = chosen.user_id AND events.item_id = chosen.item_id
        WHERE kind <> 'impression' AND epoch_us(time) BETWEEN time_us AND time_us + {window_us}
              AND (events.decision_id IS NULL OR events.decision_id = chosen.decision_id)""").fetchnumpy()


def _skipped(
    page: NDArray[np.int64], position: NDArray[np.int32], reward: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(slots,): which earned nothing though something below it did; where no position is known nothing is below."""
    lowest = np.full(int(page.max(initial=-1)) + 1, -1, dtype=np.int64)
    np.maximum.at(lowest, page[reward > 0], position[reward > 0])
    return np.asarray((reward == 0) & (position >= 0) & (position < lowest[page]))
