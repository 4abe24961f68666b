"""Judges rows of text by SQL: their typed values, or the first reason why they cannot be kept.

Texts become values in steps, each over the one before: moments (times taken apart), parsed (numbers and epoch
microseconds), judged (the number of the first rule that a row breaks, NULL for a good row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from honeyguide.data.columns import IDS, STORED, TOUCH_KINDS, Table
from honeyguide.data.database import identifier, literal
from honeyguide.data.table import to_us
from honeyguide.types import EVENT_KINDS

MAX_ID_CHARS = 256
MAX_TEXT_BYTES = 100_000
MAX_FLOAT32 = 3.4e38
FIRST_US = 631_152_000_000_000  # 1990-01-01: no shop's log is older, but a wrong unit looks older
_CLOCK = r"(\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)"
_MOMENT = rf"^(\d{{4}}-\d{{1,2}}-\d{{1,2}})(?:[T ]{_CLOCK}\s*(Z|z|UTC|GMT|[+-]\d{{2}}(?::?\d{{2}})?)?)?$"

TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
REQUIRED = {
    "items": ("item_id",),
    "users": ("user_id",),
    "identities": ("anonymous_id", "user_id"),
    "events": ("user_id", "kind", "time"),
    "touches": ("user_id", "campaign_id", "kind"),
    "messages": ("text",),
}
"""What a row of each table cannot do without."""
KINDS: dict[Table, tuple[str, ...]] = {"events": EVENT_KINDS, "touches": TOUCH_KINDS}
RANGES = {
    "price": ("amount", "between 0 and 3.4e38", f"BETWEEN 0 AND {MAX_FLOAT32}"),
    "propensity": ("probability", "above 0 and at most 1", "BETWEEN 1e-300 AND 1"),
    "position": ("place", "a whole number from 0", "BETWEEN 0 AND 2147483647"),
}
"""Of some numbers: what they are, the range in words and in SQL."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What is known about times: now, whether other offsets are converted, the zone of times without one."""

    now: datetime
    to_utc: bool
    timezone: str | None

    @property
    def last_us(self) -> int:
        """A row later than this is impossible: a day of leeway for clocks that are ahead."""
        return to_us(self.now + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason code, the SQL condition of a bad row, and the SQL of the message."""

    reason: str
    broken: str
    message: str


def columns_of(table: Table, *kinds: str) -> list[str]:
    """The columns of a table that are stored with one of these types."""
    return [column for column, kind in STORED[table].items() if kind in kinds]


def times_of(table: Table) -> list[str]:
    """The columns of a table that hold a time."""
    return columns_of(table, "TIMESTAMPTZ")


def judge(
    db: duckdb.DuckDBPyConnection, table: Table, texts: str, clock: Clock, *, zone: str | None, known: str
) -> None:
    """Make the relation `judged`: place, reason, message, and the canonical columns as they are stored.

    `texts` is a relation with `place` and every canonical column as VARCHAR, `zone` the zone of times without one,
    and `known` SQL that is true of an item_id that is in the catalogue.
    """
    rules = _rules(table, clock, zone, known)
    broken = " ".join(f"WHEN {rule.broken} THEN {index}" for index, rule in enumerate(rules))
    reasons = " ".join(f"WHEN {index} THEN {literal(rule.reason)}" for index, rule in enumerate(rules))
    messages = " ".join(f"WHEN {index} THEN {rule.message}" for index, rule in enumerate(rules))
    values = ", ".join(f"{_stored(table, column)} AS {identifier(column)}" for column in STORED[table])
    # stored between the steps: DuckDB would otherwise compute a step anew wherever a later one mentions it
    db.execute(f"CREATE TABLE trimmed AS {_trimmed(table, texts)}")
    db.execute(f"CREATE TABLE moments AS {_moments(table)}")
    db.execute(f"CREATE TABLE parsed AS {_parsed(table, clock, zone)}")
    db.execute(f"""
        CREATE TABLE judged AS
        SELECT place, CASE rule {reasons} END AS reason, CASE rule {messages} END AS message, {values}
        FROM (SELECT *, CASE {broken} END AS rule FROM parsed)""")
    for step in ("trimmed", "moments", "parsed"):
        db.execute(f"DROP TABLE {step}")


def canonical(table: Table, column: str, value: str, anonymous: str | None = "anonymous_id") -> str:
    """SQL for a good value of a column as it is stored; the same on whichever way it was found good."""
    if column == "category":
        return rf"regexp_replace({value}, '\s*>\s*', ' > ', 'g')"
    if column == "currency":
        return f"upper({value})"
    if column == "user_id" and table == "events" and anonymous is not None:
        return f"coalesce({value}, {anonymous})"
    return value


CONTENT_IDS: tuple[Table, ...] = ("events", "touches", "messages")
"""Tables whose rows may come without an id."""


def content_id(table: Table, columns: dict[str, str]) -> str:
    """SQL for the id of a row without one: what it says, so that importing it again does not count it twice."""
    parts = ", ".join(
        f"coalesce({columns[column]}::VARCHAR, '')" if column in columns else "''" for column in _SAYS[table]
    )
    return f"'h' || md5(concat_ws(chr(31), {parts}))"


_SAYS: dict[str, tuple[str, ...]] = {
    "events": (
        "time", "user_id", "kind", "item_id", "query", "value", "session_id", "decision_id", "position", "quantity",
        "text",
    ),
    "touches": ("time", "user_id", "campaign_id", "kind", "item_id", "value"),
    "messages": ("time", "user_id", "text", "intent"),
}  # fmt: skip


def _trimmed(table: Table, texts: str) -> str:
    columns = [f"nullif(trim({identifier(c)}), '') AS {identifier(c)}" for c in STORED[table]]
    return f"SELECT place, {', '.join(columns)} FROM ({texts})"


def _moments(table: Table) -> str:
    """The texts with each time taken apart: `counted` since 1970, or a `moment` of day, clock and zone."""
    extra = []
    for column in times_of(table):
        name = identifier(column)
        extra += [
            f"CASE WHEN regexp_full_match({name}, '-?\\d{{1,18}}(\\.\\d*)?') THEN TRY_CAST({name} AS DOUBLE) END "
            f"AS counted_{column}",
            f"regexp_extract(left({name}, 64), {literal(_MOMENT)}, ['day', 'clock', 'zone']) AS moment_{column}",
        ]
    return f"SELECT {', '.join(['*', *extra])} FROM trimmed"


def _parsed(table: Table, clock: Clock, zone: str | None) -> str:
    """The texts with numbers as DOUBLE, flags as BOOLEAN, and of each time its `utc_us` and `offset_min`."""
    extra = [
        f"TRY_CAST({identifier(c)} AS DOUBLE) AS number_{c}" for c in columns_of(table, "DOUBLE", "INTEGER")
    ]
    extra += [f"{flag(identifier(c))} AS flag_{c}" for c in columns_of(table, "BOOLEAN")]
    for column in times_of(table):
        moment = f"moment_{column}"
        extra += [
            f"{counted_us(f'counted_{column}')} AS counted_us_{column}",
            f"{_offset_min(moment)} AS offset_min_{column}",
            f"TRY_CAST(CASE WHEN {moment}.day <> '' THEN trim({moment}.day || ' ' || {moment}.clock) END "
            f"AS TIMESTAMP) AS local_{column}",
        ]
    moments = [_utc_us(column, clock.timezone or zone) for column in times_of(table)]
    return f"SELECT {', '.join(['*', *moments])} FROM (SELECT {', '.join(['*', *extra])} FROM moments)"


def _utc_us(time: str, zone: str | None) -> str:
    """SQL for a time that was taken apart as epoch microseconds."""
    local = f"local_{time}"
    in_zone = (
        f"epoch_us({local})" if zone == "UTC" else f"epoch_us(timezone({literal(zone or 'UTC')}, {local}))"
    )
    return f"""
        coalesce(counted_us_{time},
            CASE WHEN moment_{time}.zone <> '' THEN epoch_us({local}) - 60000000 * offset_min_{time}::BIGINT
                 ELSE {in_zone if zone else "NULL::BIGINT"} END) AS utc_us_{time}"""


def flag(text: str) -> str:
    """SQL for a text as BOOLEAN, NULL where it is none."""
    # not IN: DuckDB makes a join of a long list, and a join loses the order of the rows
    options = [
        f"WHEN list_contains({list(names)}, lower({text})) THEN {value}"
        for names, value in ((TRUE, "true"), (FALSE, "false"))
    ]
    return f"CASE {' '.join(options)} END"


def counted_us(number: str) -> str:
    """SQL for a bare number as epoch microseconds: its size tells seconds, milliseconds and microseconds apart."""
    return f"""
    CASE WHEN abs({number}) < 1e11 THEN ({number} * 1e6)::BIGINT
         WHEN abs({number}) < 1e14 THEN ({number} * 1e3)::BIGINT
         WHEN abs({number}) < 1e17 THEN {number}::BIGINT END"""


def _offset_min(moment: str) -> str:
    """SQL for the minutes that a moment's zone is ahead of UTC, NULL where it names none."""
    zone = f"{moment}.zone"
    return f"""
    CASE WHEN {zone} IN ('Z', 'z', 'UTC', 'GMT') THEN 0
         WHEN {zone} <> '' THEN
             (CASE WHEN {zone}[1] = '-' THEN -1 ELSE 1 END)
             * (60 * {zone}[2:3]::INTEGER
                + coalesce(TRY_CAST(right(replace({zone}, ':', ''), -3) AS INTEGER), 0)) END"""


def _stored(table: Table, column: str) -> str:
    """SQL over `parsed` for a canonical column with its stored type."""
    kind = STORED[table][column]
    name = identifier(column)
    if kind == "TIMESTAMPTZ":
        return f"utc_us_{column}"
    if kind in ("DOUBLE", "INTEGER"):
        return f"TRY_CAST(number_{column} AS {kind})"
    if kind == "BOOLEAN":
        return f"flag_{column}"
    return canonical(table, column, f"lower({name})" if column == "kind" else name)


def _rules(table: Table, clock: Clock, zone: str | None, known: str) -> list[Rule]:
    """All rules for the rows of a table; the first that a row breaks is what is said of it."""
    rules = [*_text_rules(table), *_presence_rules(table)]
    for time in times_of(table):
        rules += _time_rules(time, clock)
    rules += _value_rules(table)
    if table == "events":
        rules.append(Rule("unknown_item", f"item_id IS NOT NULL AND NOT ({known})", unknown_item_message()))
    return rules


def unknown_item_message() -> str:
    """SQL for what is said of an event whose item nobody knows."""
    return "'item ''' || item_id || ''' is in no catalogue: import the item, then import this file again'"


def _text_rules(table: Table) -> list[Rule]:
    columns = list(STORED[table])
    rules: list[Rule] = [
        Rule(
            "malformed_row",
            " OR ".join(f"contains({identifier(column)}, chr(0))" for column in columns),
            "'holds a NUL byte'",
        )
    ]
    for column in columns:
        name = identifier(column)
        limit, size, unit = (
            (MAX_ID_CHARS, f"length({name})", "characters")
            if column in IDS
            else (MAX_TEXT_BYTES, f"strlen({name})", "bytes")
        )
        said = f"'{column} has ' || {size} || ' {unit}, at most {limit} are allowed'"
        rules.append(Rule("field_too_long", f"{size} > {limit}", said))
    return rules


def _presence_rules(table: Table) -> list[Rule]:
    one = {"items": "item", "identities": "identity", "touches": "touch"}.get(table, table[:-1])
    rules = []
    for column in REQUIRED[table]:
        name = identifier(column)
        missing = f"{canonical(table, column, name)} IS NULL"
        rules.append(Rule("missing_value", missing, f"'{column} is empty: every {one} needs one'"))
        if column == "kind":
            kinds = KINDS[table]
            said = f"'kind must be one of {', '.join(kinds)}; got ''' || left(kind, 64) || ''''"
            rules.append(Rule("unknown_kind", f"lower(kind) NOT IN {kinds}", said))
    if table == "events":
        said = "'item_id is empty: every event but a search needs an item'"
        rules.append(Rule("missing_value", "item_id IS NULL AND lower(kind) <> 'search'", said))
    return rules


def _time_rules(column: str, clock: Clock) -> Sequence[Rule]:
    name = identifier(column)
    got = f"left({name}, 64)"
    rules: list[Rule] = [
        Rule(
            "time_unparsable",
            f"{name} IS NOT NULL AND counted_us_{column} IS NULL "
            f"AND (local_{column} IS NULL OR abs(offset_min_{column}) > 840)",
            f"'{column} ''' || {got} || ''' is no time: write it like 2026-11-23T10:00:00+00:00'",
        ),
        Rule(
            "time_without_zone",
            f"{name} IS NOT NULL AND utc_us_{column} IS NULL",
            f"'{column} ''' || {got} || ''' carries no zone: append +00:00, or run again with --timezone ZONE'",
        ),
    ]
    if not clock.to_utc:
        said = f"'{column} ''' || {got} || ''' is not in UTC: run again with --to-utc to convert it'"
        rules.append(Rule("time_not_utc", f"offset_min_{column} <> 0", said))
    said = f"'{column} ''' || {got} || ''' lies before 1990 or after tomorrow: check the clock and the unit'"
    rules.append(Rule("time_impossible", f"utc_us_{column} NOT BETWEEN {FIRST_US} AND {clock.last_us}", said))
    return rules


def _value_rules(table: Table) -> list[Rule]:
    rules = []
    for column in columns_of(table, "DOUBLE", "INTEGER"):
        got, number = f"left({identifier(column)}, 64)", f"number_{column}"
        said = f"'{column} ''' || {got} || ''' is no number: write it like 12.50'"
        rules.append(Rule("bad_number", f"{identifier(column)} IS NOT NULL AND {number} IS NULL", said))
        said = f"'{column} ''' || {got} || ''' is not finite'"
        rules.append(Rule("not_finite", f"NOT isfinite({number}) OR abs({number}) > {MAX_FLOAT32}", said))
        if column in RANGES:
            _, words, within = RANGES[column]
            good = f"{number} {within}" + (f" AND {number} = floor({number})" if column == "position" else "")
            said = f"'{column} ''' || {got} || ''' is not {words}'"
            rules.append(Rule("bad_number", f"{number} IS NOT NULL AND NOT ({good})", said))
    for column in columns_of(table, "BOOLEAN"):
        said = f"'{column} ''' || left({column}, 64) || ''' is neither true nor false'"
        rules.append(Rule("bad_flag", f"{column} IS NOT NULL AND flag_{column} IS NULL", said))
    return rules
