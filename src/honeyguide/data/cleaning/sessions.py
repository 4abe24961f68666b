"""Sessions where the shop knows none: what a user did without pausing."""

from __future__ import annotations

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount
from honeyguide.data.database import number

SESSION_ID = "substr(md5(user_id), 1, 12) || '-' || sessions.start_s"
"""A hash of the user and the second in which the session began: earlier sessions keep theirs when a log grows."""


def sessionise(log: Log, gap_minutes: int) -> RuleCount:
    """The table `sessions` of (row, start_s) of all events without a session; one that is there stays."""
    gap_us = gap_minutes * 60_000_000
    log.db.execute(f"""
        CREATE TABLE sessions AS
        SELECT "row", max(CASE WHEN fresh THEN t END) OVER (PARTITION BY person ORDER BY t) // 1000000 AS start_s FROM
            (SELECT "row", person, t,
                    coalesce(t - lag(t) OVER (PARTITION BY person ORDER BY t) > {gap_us}, true) AS fresh
             FROM (SELECT "row", hash(user_id) AS person, epoch_us("time") AS t
                   FROM events WHERE session_id IS NULL))""")
    rows = number(log.db, "SELECT count(*) FROM sessions")
    reason = f"put into a session, which ends where its user pauses for more than {gap_minutes} minutes"
    return RuleCount("session", rows, reason, effect="mended")
