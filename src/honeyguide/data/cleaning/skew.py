"""A wrong clock: a device's own times against when the shop got to know of its events.

What a device sends at once is received a moment after it happened; what it keeps for later arrives at all sorts of
distances. So where a device's events are always off by about the same, its clock is wrong, and its times are
shifted by that much. What is usual among the log's devices is what the pipeline takes, and no fault of a clock.
An event that is later than its own receipt, on a device that is not wrong by any one amount, happened when it was
received at the latest.
"""

from __future__ import annotations

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount
from honeyguide.data.database import number

MIN_EVENTS = 3
"""Events without which nothing is said of a device's clock."""
_SPREAD = 5  # the distances may differ by this part of the limit (median of absolute deviations)


def clock_skew(log: Log, limit_s: float) -> list[RuleCount]:
    """Mend the times of devices whose clock is off by more than `limit_s`, and times later than their receipt."""
    limit_us = round(limit_s * 1e6)
    log.db.execute("""
        CREATE VIEW received AS SELECT "row", "time", received_at, coalesce(anonymous_id, user_id) AS device,
            epoch_us("time") - epoch_us(received_at) AS gap FROM events WHERE received_at IS NOT NULL""")
    log.db.execute(f"""
        CREATE TABLE offsets AS SELECT device, quantile_disc(gap, 0.5) AS middle, mad(gap) AS spread FROM received
        GROUP BY device HAVING count(*) >= {MIN_EVENTS}""")
    usual = number(log.db, "SELECT quantile_disc(middle, 0.5) FROM offsets")
    log.db.execute(f"""
        CREATE TABLE clocks AS SELECT "row", "time" - to_microseconds(off) AS "time", off
        FROM received JOIN (SELECT device, middle - {usual} AS off, spread FROM offsets) USING (device)
        WHERE abs(off) > {limit_us} AND spread <= {limit_us // _SPREAD}""")
    note = """printf('its clock was %.0f s %s', abs(off) / 1e6, CASE WHEN off > 0 THEN 'ahead' ELSE 'behind' END)"""
    rows = f"""SELECT "row", abs(off) AS weight, {note} AS note FROM clocks"""
    reason = (
        f"of a device whose clock is always off by the same, more than {limit_s:g} s: shifted by that much"
    )
    counts = [log.count("clock_skew", rows, reason, "mended")]
    late = f"""FROM received WHERE gap > {limit_us} AND "row" NOT IN (SELECT "row" FROM clocks)"""
    note = "printf('%.0f s later than it was received', gap / 1e6)"
    rows = f'SELECT "row", gap AS weight, {note} AS note {late}'
    reason = f"more than {limit_s:g} s later than it was received: set to that moment"
    counts.append(log.count("after_receipt", rows, reason, "mended"))
    log.db.execute(f'INSERT INTO clocks SELECT "row", received_at, NULL {late}')
    log.define()
    return counts
