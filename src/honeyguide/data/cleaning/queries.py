"""One way of writing a search, so that the same wish is the same text."""

from __future__ import annotations

from collections.abc import Iterator

from honeyguide.data.cleaning.log import EXAMPLES, Log
from honeyguide.data.cleaning.report import Evidence, MendedText, RuleCount
from honeyguide.data.database import literal
from honeyguide.data.textclean import normalise_query

_PLAIN = "[a-z0-9]+( [a-z0-9]+)*"
_BATCH = 10_000


def normalise_queries(log: Log) -> RuleCount:
    """Mend `query`; what says nothing becomes NULL. Only queries that are not plain already go through Python."""
    log.take_in("queries", {"before": "VARCHAR", "after": "VARCHAR"}, _changes(log))
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM events WHERE query IN (SELECT before FROM queries)"""
    reason = "a search written otherwise: lower case, plain spaces, no punctuation at the ends"
    count = log.count("query_spelling", rows, reason, "mended")
    shown = log.db.execute(
        f"SELECT before, coalesce(after, '') FROM queries ORDER BY 1 LIMIT {EXAMPLES}"
    ).fetchall()
    texts = tuple(MendedText("query", before, after) for before, after in shown)
    log.define()
    return RuleCount(count.rule, count.rows, reason, effect="mended", evidence=Evidence(texts=texts))


def _changes(log: Log) -> Iterator[tuple[str, str | None]]:
    found = log.db.cursor().execute(f"""
        SELECT DISTINCT query FROM events
        WHERE query IS NOT NULL AND NOT regexp_full_match(query, {literal(_PLAIN)})""")
    while batch := found.fetchmany(_BATCH):
        for (before,) in batch:
            after = normalise_query(before)
            if after != before:
                yield before, after or None
