"""Who answered a campaign: one example per campaign and user it was sent to, or deliberately not sent to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.columns import TOUCHES
from honeyguide.data.database import database, number
from honeyguide.data.labels.stored import stored
from honeyguide.data.labels.visits import in_us
from honeyguide.data.table import number_distinct, plain

NO_TIME = np.iinfo(np.int64).min
"""The time of a touch that has none."""
_ANSWER = "kind IN ('visit', 'click', 'redeemed')"


@dataclass(frozen=True, slots=True, eq=False)
class AdResponses:
    """n examples, sorted by campaign and user.

    `campaigns` and `users` are ids, sorted; `campaign` and `user` (n,) int32 rows into them; `treated` (n,) bool,
    False for the control group; `time_us` (n,) int64 when it was sent or withheld, NO_TIME where nobody wrote it
    down; `visited`, `clicked`, `redeemed` (n,) bool and `value` (n,) float64 what followed within the window;
    `propensity` (n,) float64 the logged probability of being assigned as the user was, NaN where there is none.
    `contradictory` pairs were both sent and withheld and are left out; `unassigned` answers belong to no example.
    """

    campaigns: tuple[str, ...]
    users: tuple[str, ...]
    campaign: NDArray[np.int32]
    user: NDArray[np.int32]
    treated: NDArray[np.bool_]
    time_us: NDArray[np.int64]
    visited: NDArray[np.bool_]
    clicked: NDArray[np.bool_]
    redeemed: NDArray[np.bool_]
    value: NDArray[np.float64]
    propensity: NDArray[np.float64]
    contradictory: int
    unassigned: int

    def __len__(self) -> int:
        return len(self.user)

    def with_full_window(self, end_us: int, window_days: float) -> AdResponses:
        """The examples whose window is over at `end_us`, the end of the log; without a time it counts as over."""
        return self.take((self.time_us == NO_TIME) | (self.time_us <= end_us - in_us(window_days)))

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> AdResponses:
        """The examples that a mask or positions choose."""
        columns = (
            "campaign", "user", "treated", "time_us", "visited", "clicked", "redeemed", "value", "propensity",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})


def ad_responses(path: Path, *, window_days: float) -> AdResponses:
    """The examples in a touches.parquet, with what followed in [assignment, assignment + window].

    The first of several sendings is the assignment; one that contradicts it within the window leaves the pair out.
    Where it or the answer has no time, the answer counts. `value` is what the redemptions were worth.
    """
    with database() as db:
        db.execute(
            f"CREATE VIEW touches AS SELECT *, epoch_us(time) AS us FROM ({stored(db, path, TOUCHES)})"
        )
        db.execute(_assigned(in_us(window_days)))
        campaigns = number_distinct(db, "campaign_id", "campaigns", of="assigned")
        users = number_distinct(db, "user_id", "people", of="assigned")
        found = db.execute(_examples(in_us(window_days))).fetchnumpy()
        contradictory = number(db, "SELECT count(*) FROM assigned WHERE contradicted")
        unassigned = number(
            db,
            f"SELECT count(*) FROM touches ANTI JOIN assigned USING (campaign_id, user_id) WHERE {_ANSWER}",
        )
    columns = {name: plain(column) for name, column in found.items()}
    return AdResponses(campaigns, users, **columns, contradictory=contradictory, unassigned=unassigned)


def _assigned(window_us: int) -> str:
    """SQL for the table `assigned`: what was decided about whom, as it stood when the window was over."""
    return f"""
        CREATE TABLE assigned AS
        WITH decided AS (
            SELECT *, min(us) OVER (PARTITION BY campaign_id, user_id) AS sent_us
            FROM touches WHERE kind IN ('sent', 'withheld'))
        SELECT campaign_id, user_id, bool_or(kind = 'sent') AS treated, any_value(sent_us) AS sent_us,
               bool_or(kind = 'sent') AND bool_or(kind = 'withheld') AS contradicted,
               arg_min(propensity, (coalesce(us, 0), touch_id)) AS propensity
        FROM decided WHERE coalesce(us <= sent_us + {window_us}, true) GROUP BY campaign_id, user_id"""


def _examples(window_us: int) -> str:
    """SQL for the columns of AdResponses over `touches` and `assigned`."""
    return f"""
        WITH answers AS (
            SELECT campaign_id, user_id, bool_or(kind = 'visit') AS visited, bool_or(kind = 'click') AS clicked,
                   bool_or(kind = 'redeemed') AS redeemed,
                   sum(value ORDER BY us, touch_id) FILTER (kind = 'redeemed') AS value
            FROM touches JOIN assigned USING (campaign_id, user_id)
            WHERE {_ANSWER} AND coalesce(us BETWEEN sent_us AND sent_us + {window_us}, true)
            GROUP BY campaign_id, user_id)
        SELECT campaigns.row::INTEGER AS campaign, people.row::INTEGER AS user, treated,
               coalesce(sent_us, ({NO_TIME})::BIGINT) AS time_us, coalesce(visited, false) AS visited,
               coalesce(clicked, false) AS clicked, coalesce(redeemed, false) AS redeemed,
               coalesce(value, 0)::DOUBLE AS value, coalesce(propensity, 'nan'::DOUBLE)::DOUBLE AS propensity
        FROM assigned JOIN campaigns USING (campaign_id) JOIN people USING (user_id)
             LEFT JOIN answers USING (campaign_id, user_id)
        WHERE NOT contradicted ORDER BY campaign, user"""
