"""The same thing told twice: at the same moment (sent twice), or a moment later (a double click, a retry).

Most events have no twin, so what is compared is first narrowed down by a hash of all that must be equal; only
events which share theirs with another one are sorted.
"""

from __future__ import annotations

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount

_SAME = "user_id, item_id, kind, value, query, decision_id, position"


def duplicates(log: Log, *, exact: bool, window_s: float) -> list[RuleCount]:
    """Drop all but the first (by time, then id) of equal events; of a row of near ones too only the first stays."""
    gap_us = round(window_s * 1e6)
    log.db.execute(f"""
        CREATE TABLE alike AS SELECT twin FROM (SELECT hash({_SAME}) AS twin FROM events)
        GROUP BY twin HAVING count(*) > 1""")
    log.db.execute(f"""
        CREATE TABLE twins AS SELECT "row", gap_us, first_id FROM (
            SELECT "row", epoch_us("time") - lag(epoch_us("time")) OVER w AS gap_us, lag(event_id) OVER w AS first_id
            FROM events WHERE hash({_SAME}) IN (SELECT twin FROM alike)
            WINDOW w AS (PARTITION BY {_SAME} ORDER BY "time", event_id))
        WHERE gap_us <= {gap_us}""")
    counts = []
    if exact:
        rows = (
            """SELECT "row", NULL AS weight, 'the same as ' || first_id AS note FROM twins WHERE gap_us = 0"""
        )
        counts.append(
            log.drop("duplicate", rows, "the same user, item, kind, value and moment as another event")
        )
    if gap_us:
        rows = """SELECT "row", NULL AS weight, printf('%.3f s after %s', gap_us / 1e6, first_id) AS note
            FROM twins WHERE gap_us > 0"""
        reason = f"the same user, item, kind and value as {window_s:g} s or less before"
        counts.append(log.drop("near_duplicate", rows, reason))
    log.db.execute("DROP TABLE alike; DROP TABLE twins")
    return counts
