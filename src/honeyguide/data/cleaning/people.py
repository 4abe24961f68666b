"""Who was it? What was done under an anonymous id goes to the user who is known to stand behind it.

Known is what `identities` says, and what events say that carry both ids. An id that is the user behind some other
id is a user and is never itself taken for a device: of a chain A -> B -> C the events of A go to B, and those of
B stay with B. Where several users were known on one device, an event goes to the one who was known last at that
time, or else to the one who came next.
"""

from __future__ import annotations

from pathlib import Path

from honeyguide.data.cleaning.log import EXAMPLES, Log, stored_columns
from honeyguide.data.cleaning.report import Evidence, MendedText, RuleCount
from honeyguide.data.columns import IDENTITIES
from honeyguide.data.database import check_stored, number, parquet


def merge_identities(log: Log, identities: Path) -> list[RuleCount]:
    """Mend `user_id` of what was done under an anonymous id."""
    _make_sightings(log, identities)
    log.db.execute("""
        CREATE TABLE owners AS SELECT anonymous_id, min(user_id) AS user_id, min(user_id) <> max(user_id) AS shared
        FROM sightings GROUP BY anonymous_id""")
    counts = [_one_owner(log)]
    if number(log.db, "SELECT count(*) FROM owners WHERE shared"):
        counts.append(_several_owners(log))
    log.define()
    return counts


def _make_sightings(log: Log, identities: Path) -> None:
    """The view `sightings`: at this moment that user was known behind this anonymous id."""
    parts = [
        """SELECT anonymous_id, user_id, "time" FROM events
           WHERE anonymous_id IS NOT NULL AND anonymous_id <> user_id"""
    ]
    if identities.is_file():
        check_stored(log.db, identities)
        columns = stored_columns(log.db, identities, IDENTITIES)
        parts.append(f"""SELECT anonymous_id, user_id, coalesce("time", '-infinity') AS "time"
            FROM (SELECT {columns} FROM {parquet(identities)}) WHERE anonymous_id <> user_id""")
    found = " UNION ALL ".join(parts)
    log.db.execute(f"CREATE VIEW told AS {found}")
    log.db.execute("CREATE VIEW sightings AS FROM told WHERE anonymous_id NOT IN (SELECT user_id FROM told)")


def _one_owner(log: Log) -> RuleCount:
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM events
        WHERE user_id IN (SELECT anonymous_id FROM owners WHERE NOT shared)"""
    reason = "done under an anonymous id behind which one user is known: given to that user"
    return _with_pairs(log, log.count("identity", rows, reason, "mended"), "owners", "NOT shared")


def _several_owners(log: Log) -> RuleCount:
    log.db.execute("""
        CREATE TABLE seen AS SELECT anonymous_id, "time", min(user_id) AS user_id FROM sightings
        WHERE anonymous_id IN (SELECT anonymous_id FROM owners WHERE shared) GROUP BY anonymous_id, "time" """)
    log.db.execute("""
        CREATE TABLE borrowed AS
        SELECT lost."row", lost.user_id AS anonymous_id, coalesce(last.user_id, next.user_id) AS user_id
        FROM (SELECT "row", user_id, "time" FROM events
              WHERE user_id IN (SELECT anonymous_id FROM owners WHERE shared)) AS lost
        ASOF LEFT JOIN seen AS last ON last.anonymous_id = lost.user_id AND last."time" <= lost."time"
        ASOF LEFT JOIN seen AS next ON next.anonymous_id = lost.user_id AND next."time" >= lost."time" """)
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM borrowed"""
    reason = (
        "done under an anonymous id that several users share: given to who was known on it last, or else next"
    )
    return _with_pairs(log, log.count("shared_device", rows, reason, "mended"), "borrowed", "true")


def _with_pairs(log: Log, count: RuleCount, table: str, where: str) -> RuleCount:
    pairs = log.db.execute(f"""
        SELECT DISTINCT anonymous_id, user_id FROM {table} WHERE {where} ORDER BY ALL LIMIT {EXAMPLES}""").fetchall()
    texts = tuple(MendedText("user_id", before, after) for before, after in pairs)
    return RuleCount(count.rule, count.rows, count.reason, effect="mended", evidence=Evidence(texts=texts))
