"""Tasks out of searches: what was taken after one, and in which order its items should stand.

A search answers for what its user did within half an hour after it, up to the next search and within the session,
where sessions are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import database, literal
from honeyguide.data.labels.stored import stored
from honeyguide.data.labels.texts import same_text
from honeyguide.plm.heads.pairs import Judged, Pairs, Ranking, Retrieval
from honeyguide.plm.synonyms import Leads
from honeyguide.plm.teach.examples import Tables, TaskExamples, enough, in_three, lacking
from honeyguide.types import Rows

VISIT_MINUTES = 30
GRADES = {"purchase": 3, "cart": 2, "click": 1, "view": 1, "impression": 0, "dismiss": 0}
TAKEN = ("click", "cart", "purchase")
_MOST_ANSWERS = 1_000_000  # the newest: more than can be learned from
_MOST_ITEMS = 16
"""Items of a query that are put into an order: the best, and of those that are as good any."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one search led to: an item's text, its grade, and whether it was `taken`, not only looked at."""

    query: str
    item: str
    grade: int
    taken: bool


def answers(tables: Tables) -> list[Answer]:
    """Every item of every search once, by its best grade, in time order; queries as they were first typed."""
    catalog = Catalog.read(tables.items)
    text_of = dict(zip(catalog.ids, catalog.texts, strict=True))
    grade = " ".join(f"WHEN {literal(kind)} THEN {worth}" for kind, worth in GRADES.items())
    kinds = ", ".join(map(literal, GRADES))
    with database() as db:
        # at one moment the search comes first: a page and what was asked for are often logged together
        db.execute(f"""
            CREATE TABLE told AS
            SELECT user_id, kind, item_id, session_id, query, epoch_us("time") AS us,
                   count(*) FILTER (WHERE kind = 'search') OVER (
                       PARTITION BY user_id ORDER BY "time", kind <> 'search', event_id
                       ROWS UNBOUNDED PRECEDING) AS search
            FROM ({stored(db, tables.events, EVENTS)})""")
        rows = db.execute(f"""
            SELECT query, item_id, grade, taken FROM (
            SELECT asked.us, user_id, search, asked.query, told.item_id, max(CASE told.kind {grade} END) AS grade,
                   bool_or(told.kind IN ({", ".join(map(literal, TAKEN))})) AS taken
            FROM told JOIN (SELECT user_id, search, us, session_id, query FROM told
                            WHERE kind = 'search' AND trim(query) <> '') AS asked USING (user_id, search)
            WHERE told.item_id IS NOT NULL AND told.kind IN ({kinds})
                  AND told.us <= asked.us + {VISIT_MINUTES * 60_000_000}
                  AND coalesce(told.session_id = asked.session_id, true)
            GROUP BY asked.us, user_id, search, asked.query, told.item_id
            ORDER BY asked.us DESC, user_id, search, told.item_id LIMIT {_MOST_ANSWERS})
            ORDER BY us, user_id, search, item_id""").fetchall()
    typed: dict[str, str] = {}
    return [
        Answer(typed.setdefault(same_text(query), " ".join(query.split())), text, worth, taken)
        for query, item_id, worth, taken in rows
        if (text := text_of.get(item_id))
    ]


def search(tables: Tables) -> TaskExamples[Pairs]:
    """A query finds the items that were taken after it; a pair is there as often as searches led to it."""
    taken = [(one.query, one.item) for one in _answers(tables, "search") if one.taken]
    queries = tuple(dict.fromkeys(query for query, _ in taken))
    enough(
        "search",
        len(queries),
        "distinct searches after which an item was clicked, put into the cart or bought",
    )
    if len({item for _, item in taken}) < 2:
        lacking("search", "all searches led to one and the same item")
    row_of = {query: row for row, query in enumerate(queries)}
    group = np.array([row_of[query] for query, _ in taken], dtype=np.int64)
    parts = in_three("search", np.zeros_like(group), group, tables.rng())
    train, validation, test = (_pairs([taken[row] for row in part]) for part in parts)
    return TaskExamples(
        name="search",
        kind=Retrieval.kind,
        labels=(),
        train=train,
        validation=validation,
        test=test,
        purpose="finds the items that answer a search",
        told=(
            f"{len(taken):,} times an item was clicked, put into the cart or bought within {VISIT_MINUTES} minutes "
            f"after a search; {len(queries):,} different searches, each in one part only",
        ),
    )


def relevance(tables: Tables) -> TaskExamples[Judged]:
    """A query puts its items into the order of their mean grade over the searches that they came up in."""
    graded: dict[tuple[str, str], list[int]] = {}
    for one in _answers(tables, "relevance"):
        graded.setdefault((one.query, one.item), []).append(one.grade)
    by_query: dict[str, list[tuple[str, float]]] = {}
    for (query, item), grades in graded.items():
        by_query.setdefault(query, []).append((item, float(np.mean(grades))))
    ordered = {query: found for query, found in by_query.items() if len({grade for _, grade in found}) > 1}
    enough("relevance", len(ordered), "distinct searches whose items differ in what was done about them")
    queries, rng = tuple(ordered), tables.rng()
    same = np.zeros(len(queries), dtype=np.int64)
    parts = in_three("relevance", same, np.arange(len(queries)), rng)
    train, validation, test = (
        _judged([(queries[row], _best(ordered[queries[row]], rng)) for row in part]) for part in parts
    )
    return TaskExamples(
        name="relevance",
        kind=Ranking.kind,
        labels=(),
        train=train,
        validation=validation,
        test=test,
        purpose="puts the items of a search into the order in which they answer it",
        told=(
            f"{len(queries):,} different searches, each in one part only; items are graded by what was done within "
            f"{VISIT_MINUTES} minutes: bought 3, put into the cart 2, looked at 1, only shown 0",
        ),
    )


def leads(tables: Tables, *, without: Iterable[str] = ()) -> Leads:
    """Queries and what was taken after them, for learning synonyms from; none of the texts in `without`."""
    left_out = set(map(same_text, without))
    taken = [(one.query, one.item) for one in answers(tables) if one.taken]
    taken = [(query, item) for query, item in taken if same_text(query) not in left_out]
    queries = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in taken))}
    items = {item: row for row, item in enumerate(dict.fromkeys(item for _, item in taken))}
    return Leads(
        tuple(queries),
        tuple(items),
        np.array([queries[query] for query, _ in taken], dtype=np.int64),
        np.array([items[item] for _, item in taken], dtype=np.int64),
    )


def _answers(tables: Tables, task: str) -> list[Answer]:
    if not tables.events.is_file():
        lacking(task, "there are no events, and so no searches")
    return answers(tables)


def _best(found: Sequence[tuple[str, float]], rng: np.random.Generator) -> list[tuple[str, float]]:
    """The best of a query's items, and one of its worst at the least: there must be something to order."""
    shuffled = [found[int(row)] for row in rng.permutation(len(found))]
    ordered = sorted(shuffled, key=lambda one: -one[1])
    return [*ordered[: _MOST_ITEMS - 1], *ordered[_MOST_ITEMS - 1 :][-1:]]


def _pairs(taken: Sequence[tuple[str, str]]) -> Pairs:
    texts, first, second = _rows(taken)
    return Pairs(texts, first, second)


def _judged(found: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Judged:
    flat = [(query, item, grade) for query, items in found for item, grade in items]
    texts, query, item = _rows([(asked, told) for asked, told, _ in flat])
    return Judged(texts, query, item, np.array([grade for _, _, grade in flat], dtype=np.float64))


def _rows(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], Rows, Rows]:
    """Distinct queries and then distinct items as texts, and the two rows of each pair.

    A query that is worded like an item has a row of its own, or it could not find that item.
    """
    queries = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
    items = {item: len(queries) + row for row, item in enumerate(dict.fromkeys(item for _, item in pairs))}
    first = np.array([queries[query] for query, _ in pairs], dtype=np.int64)
    return (*queries, *items), first, np.array([items[item] for _, item in pairs], dtype=np.int64)
