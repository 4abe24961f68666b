"""The k-core: users and items that have at least k events each, counted among one another."""

from __future__ import annotations

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount
from honeyguide.data.database import number


def k_core(log: Log, k: int) -> RuleCount:
    """Drop events outside the k-core; what a user was only shown counts for nothing, and goes with the user or item.

    Items stay in the catalogue: a new one must be able to be found.
    """
    log.db.execute("""
        CREATE TABLE pairs AS SELECT user_id, item_id, count(*) AS n FROM events
        WHERE item_id IS NOT NULL AND kind <> 'impression' GROUP BY ALL""")
    before = -1
    while (now := number(log.db, "SELECT count(*) FROM pairs")) != before:
        before = now
        for key in ("user_id", "item_id"):
            log.db.execute(f"""
                CREATE OR REPLACE TABLE pairs AS FROM pairs
                WHERE {key} IN (SELECT {key} FROM pairs GROUP BY {key} HAVING sum(n) >= {k})""")
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM events
        WHERE user_id NOT IN (SELECT user_id FROM pairs)
           OR (item_id IS NOT NULL AND item_id NOT IN (SELECT item_id FROM pairs))"""
    return log.drop(
        "k_core", rows, f"of a user or an item with fewer than {k} events among the others that stay"
    )
