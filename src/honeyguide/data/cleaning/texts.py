"""Texts of items as people and their tools wrote them: written plainly, without what stands everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honeyguide.data.cleaning.log import EXAMPLES, Log
from honeyguide.data.cleaning.report import Evidence, MendedText, RuleCount
from honeyguide.data.database import identifier, literal, number
from honeyguide.data.textclean import boilerplate_lines, normalise, without_lines

LEAST_BOILERPLATE = 20
"""Descriptions that a line must stand in: of a few texts any line is a large share."""
_TEXTS = ("title", "description", "category", "brand")
_SUSPECT = r"[^\x20-\x7e]|[<&]|  |^ | $"
"""A text without any of these is left alone."""
_SHOWN_CHARS = 200
_BATCH = 10_000


def normal_texts(log: Log) -> RuleCount:
    """Mend texts that hold HTML, control characters, odd spaces or letters that can be written in two ways."""
    count, texts = 0, []
    for column in _TEXTS:
        changed, shown = _mend(log, column, _normal(log, column))
        count += changed
        texts += shown
    reason = "HTML, control characters, doubled spaces, or letters that are composed: written plainly"
    return RuleCount("text", count, reason, table="items", effect="mended", evidence=_evidence(texts))


def boilerplate(log: Log, share: float) -> RuleCount:
    """Take lines that stand in at least `share` of the descriptions out of them."""
    described = "SELECT description FROM items WHERE coalesce(description, '') <> ''"
    lines = boilerplate_lines(
        (text for (text,) in _stream(log, described)), share=share, least=LEAST_BOILERPLATE
    )
    count, texts = _mend(log, "description", _without(log, lines)) if lines else (0, [])
    reason = f"a line that stands in {share:.0%} or more of the descriptions tells nothing: taken out"
    return RuleCount("boilerplate", count, reason, table="items", effect="mended", evidence=_evidence(texts))


def _normal(log: Log, column: str) -> Iterator[tuple[str, str]]:
    suspect = f"SELECT DISTINCT {column} FROM items WHERE regexp_matches({column}, {literal(_SUSPECT)})"
    for (before,) in _stream(log, suspect):
        after = normalise(before)
        if after != before:
            yield before, after


def _without(log: Log, lines: frozenset[str]) -> Iterator[tuple[str, str]]:
    for (before,) in _stream(log, "SELECT DISTINCT description FROM items WHERE description IS NOT NULL"):
        after = without_lines(before, lines)
        if after != before:
            yield before, after


def _mend(log: Log, column: str, changes: Iterator[tuple[str, str]]) -> tuple[int, list[MendedText]]:
    """Replace texts of a column; how many items that changes, and a few of them."""
    if not log.take_in("texts", {"before": "VARCHAR", "after": "VARCHAR"}, changes):
        return 0, []
    name = identifier(column)
    shown = log.db.execute(f"""
        SELECT item_id || ', {column}', before, after FROM items JOIN texts ON texts.before = items.{name}
        ORDER BY item_id LIMIT {EXAMPLES}""").fetchall()
    rows = number(
        log.db,
        f"""
        UPDATE items SET {name} = nullif(texts.after, '') FROM texts WHERE texts.before = items.{name}""",
    )
    return rows, [
        MendedText(subject, before[:_SHOWN_CHARS], after[:_SHOWN_CHARS]) for subject, before, after in shown
    ]


def _evidence(texts: Sequence[MendedText]) -> Evidence:
    return Evidence(texts=tuple(texts[:EXAMPLES]))


def _stream(log: Log, query: str) -> Iterator[tuple[str]]:
    found = log.db.cursor().execute(query)
    while batch := found.fetchmany(_BATCH):
        yield from batch
