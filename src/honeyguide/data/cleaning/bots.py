"""Who is no shopper: one sign that is enough by itself, and three of which two are.

    rate        more than N events on one day: enough by itself
    breadth     more than N different items on one day
    dwell       half of the views follow each other within a second or so, in sessions with many views
    regularity  the intervals hardly differ: low entropy of their logarithms to base 2, with many intervals

Being shown something is no activity: impressions count for none of the signs. Days are UTC days. Intervals of 0
are left out, so that a basket (one moment, many items) or a log that knows only days says nothing on rhythm.

The defaults were chosen looking at the Complete Journey (a year, 2,469 households, 1.47 million purchases): the
busiest day of any household has 183 events, of 167 different items, 161 of them at one moment; against limits of
2,000 and 500. Of the 97 households with more than 200 moments the most regular has an entropy of 1.38 bits, the
median 3.02, against a limit of 1.0; a scraper with a fixed pause has 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import Evidence, RuleCount, SuspectUser
from honeyguide.data.database import number

MIN_GAPS = 200
"""Intervals without which nothing is said of how regular they are."""
MIN_VIEWS = 50
"""Intervals between views without which nothing is said of how short they are."""
_SESSION_US = 1_800_000_000
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Signs:
    """The limits beyond which a sign speaks for a bot; 0 switches it off."""

    events_per_day: int
    items_per_day: int
    dwell_s: float
    entropy_bits: float

    @property
    def any_verdict(self) -> bool:
        """Whether anybody can be convicted: by the rate, or by two of the others."""
        others = (self.items_per_day, self.dwell_s, self.entropy_bits)
        return self.events_per_day > 0 or sum(sign > 0 for sign in others) >= 2


def bots(log: Log, signs: Signs) -> RuleCount:
    """Drop all events of users who are taken for bots."""
    _make_suspects(log, signs)
    if not number(log.db, "SELECT count(*) FROM suspects"):
        return RuleCount("bot", 0, _reason(signs))
    _make_signs(log, signs)
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM events WHERE user_id IN (SELECT user_id FROM bots)"""
    count = log.drop("bot", rows, _reason(signs))
    users = log.db.execute(f"""
        SELECT user_id, busiest, items, median_us / 1e6, bits FROM bots
        ORDER BY busiest DESC, user_id LIMIT {_SHOWN}""").fetchall()
    return replace(count, evidence=Evidence(users=tuple(SuspectUser(*user) for user in users)))


def _make_suspects(log: Log, signs: Signs) -> None:
    """Users with so many events that any verdict is possible at all; the rest is looked at no more."""
    least = min(
        [signs.events_per_day + 1] * (signs.events_per_day > 0)
        + [signs.items_per_day + 1] * (signs.items_per_day > 0)
        + [MIN_GAPS + 1]
    )
    log.db.execute(f"""
        CREATE TABLE suspects AS SELECT user_id, row_number() OVER () AS nr FROM
            (SELECT user_id FROM events WHERE kind <> 'impression' GROUP BY user_id HAVING count(*) >= {least})""")
    log.db.execute("""
        CREATE VIEW acts AS SELECT nr, "time", kind, item_id FROM events JOIN suspects USING (user_id)
        WHERE kind <> 'impression'""")


def _make_signs(log: Log, signs: Signs) -> None:
    """The table `bots`: the users who are convicted, with their figures."""
    log.db.execute("""
        CREATE TABLE days AS
        SELECT nr, epoch_us("time") // 86400000000 AS day, count(*) AS n FROM acts GROUP BY ALL""")
    log.db.execute(f"""
        CREATE TABLE breadths AS SELECT nr, max(k) AS k FROM
            (SELECT nr, count(DISTINCT item_id) AS k
             FROM acts SEMI JOIN (FROM days WHERE {signs.items_per_day} BETWEEN 1 AND n - 1) AS big
                  ON big.nr = acts.nr AND big.day = epoch_us(acts."time") // 86400000000
             GROUP BY nr, epoch_us("time") // 86400000000) GROUP BY nr""")
    log.db.execute(f"""
        CREATE TABLE dwells AS SELECT nr, median(gap) AS median_us FROM ({_gaps("kind = 'view'")})
        WHERE gap > 0 AND gap < {_SESSION_US} GROUP BY nr HAVING count(*) >= {MIN_VIEWS}""")
    log.db.execute(f"""
        CREATE TABLE rhythms AS SELECT nr, greatest(0, -sum(n / total * log2(n / total))) AS bits FROM
            (SELECT nr, n, sum(n) OVER (PARTITION BY nr) AS total FROM
                (SELECT nr, floor(log2(gap)) AS bin, count(*) AS n FROM ({_gaps("true")}) WHERE gap > 0 GROUP BY ALL))
        WHERE total >= {MIN_GAPS} GROUP BY nr""")
    log.db.execute(f"""
        CREATE TABLE guilty AS SELECT user_id, nr, busiest, median_us, bits
        FROM suspects JOIN (SELECT nr, max(n) AS busiest FROM days GROUP BY nr) USING (nr)
        LEFT JOIN breadths USING (nr) LEFT JOIN dwells USING (nr) LEFT JOIN rhythms USING (nr)
        WHERE {_verdict(signs)}""")
    log.db.execute("""
        CREATE TABLE bots AS SELECT user_id, busiest, items, median_us, bits FROM guilty JOIN
            (SELECT nr, arg_max(k, n) AS items FROM
                (SELECT nr, count(*) AS n, count(DISTINCT item_id) AS k FROM acts SEMI JOIN guilty USING (nr)
                 GROUP BY nr, epoch_us("time") // 86400000000)
             GROUP BY nr) USING (nr)""")


def _gaps(which: str) -> str:
    return f"""SELECT nr, epoch_us("time") - lag(epoch_us("time")) OVER (PARTITION BY nr ORDER BY "time") AS gap
        FROM acts WHERE {which}"""


def _verdict(signs: Signs) -> str:
    """SQL: the rate alone, or two of the other three."""
    broad = f"coalesce(k, 0) > {signs.items_per_day}" if signs.items_per_day else "false"
    hasty = f"coalesce(median_us < {signs.dwell_s * 1e6!r}, false)"
    regular = f"coalesce(bits < {signs.entropy_bits!r}, false)"
    fast = f"busiest > {signs.events_per_day}" if signs.events_per_day else "false"
    return f"{fast} OR ({broad})::INT + ({hasty})::INT + ({regular})::INT >= 2"


def _reason(signs: Signs) -> str:
    others = []
    if signs.items_per_day:
        others.append(f"more than {signs.items_per_day:,} items on one day")
    if signs.dwell_s:
        others.append(f"less than {signs.dwell_s:g} s between views")
    if signs.entropy_bits:
        others.append(f"intervals of less than {signs.entropy_bits:g} bits of entropy")
    ways = [f"with more than {signs.events_per_day:,} events on one day"] if signs.events_per_day else []
    if len(others) > 1:
        ways.append("with two of: " + ", ".join(others))
    return f"of a user {', or '.join(ways)}: taken for a bot"
