"""Judges every row of a file by SQL: its typed columns, or the first reason why it cannot be kept.

Texts become values in three steps, each over the one before: texts (canonical VARCHAR columns), parsed (numbers
and moments), judged (the number of the first rule that a row breaks, NULL for a good row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from honeyguide.data.columns import IDS, STORED, Table
from honeyguide.data.database import identifier, literal
from honeyguide.data.reading import ROW, RawFile
from honeyguide.data.sources.layout import Layout
from honeyguide.data.table import to_us
from honeyguide.types import EVENT_KINDS

MAX_ID_CHARS = 256
MAX_TEXT_BYTES = 100_000
_FIRST_US = 631_152_000_000_000  # 1990-01-01: no shop's log is older, but a wrong unit looks older
_MAX_FLOAT32 = 3.4e38
_CLOCK = r"(\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)"
_MOMENT = rf"^(\d{{4}}-\d{{1,2}}-\d{{1,2}})(?:[T ]{_CLOCK}\s*(Z|z|UTC|GMT|[+-]\d{{2}}(?::?\d{{2}})?)?)?$"


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


def judge(db: duckdb.DuckDBPyConnection, raw: RawFile, layout: Layout, clock: Clock) -> None:
    """Make the relation `judged`: ROW, reason, message, and the canonical columns with their stored types."""
    time = "time" if layout.table == "events" else "created_at"
    columns = [column for column in STORED[layout.table] if column != time]
    values = ", ".join(_typed(column) for column in columns)
    rules = _rules(layout.table, time, clock)
    broken = " ".join(f"WHEN {rule.broken} THEN {index}" for index, rule in enumerate(rules))
    reasons = " ".join(f"WHEN {index} THEN {literal(rule.reason)}" for index, rule in enumerate(rules))
    messages = " ".join(f"WHEN {index} THEN {rule.message}" for index, rule in enumerate(rules))
    # stored between the steps: DuckDB would otherwise compute a step anew wherever a later one mentions it
    db.execute(f"CREATE TABLE texts AS {_texts(raw, layout)}")
    db.execute(f"CREATE TABLE moments AS {_moments(time)}")
    db.execute(f"CREATE TABLE parsed AS {_parsed(layout, clock)}")
    db.execute(f"""
        CREATE TABLE judged AS
        SELECT {ROW}, CASE rule {reasons} END AS reason, CASE rule {messages} END AS message,
               {values}, make_timestamptz(utc_us) AS {identifier(time)}
        FROM (SELECT *, CASE {broken} END AS rule FROM parsed)""")
    for step in ("texts", "moments", "parsed"):
        db.execute(f"DROP TABLE {step}")


def _texts(raw: RawFile, layout: Layout) -> str:
    """The canonical columns as trimmed text, "" read as NULL."""
    missing = [column for column in layout.optional if column not in raw.columns]
    nulls = "".join(f", NULL::VARCHAR AS {identifier(column)}" for column in missing)
    columns = [
        f"nullif(trim({layout.columns.get(column, 'NULL::VARCHAR')}), '') AS {identifier(column)}"
        for column in STORED[layout.table]
    ]
    return f"SELECT {', '.join([ROW, *columns])} FROM (SELECT *{nulls} FROM {raw.name})"


def _moments(time: str) -> str:
    """The texts with the time taken apart: `counted` since 1970, or a `moment` of day, clock and zone."""
    name = identifier(time)
    return f"""
        SELECT *,
               CASE WHEN regexp_full_match({name}, '-?\\d{{1,18}}(\\.\\d*)?') THEN TRY_CAST({name} AS DOUBLE) END
                   AS counted,
               regexp_extract(left({name}, 64), {literal(_MOMENT)}, ['day', 'clock', 'zone']) AS moment
        FROM texts"""


def _parsed(layout: Layout, clock: Clock) -> str:
    """The texts with `amount` and `place` as DOUBLE, `utc_us` as epoch microseconds, and the time's `offset_min`."""
    amount = "value" if layout.table == "events" else "price"
    place = "position" if layout.table == "events" else "NULL::VARCHAR"
    zone = clock.timezone or layout.zone
    local_us = "epoch_us(local)" if zone == "UTC" else f"epoch_us(timezone({literal(zone or 'UTC')}, local))"
    return f"""
        SELECT *, coalesce(counted_us,
            CASE WHEN moment.zone <> '' THEN epoch_us(local) - 60000000 * offset_min::BIGINT
                 ELSE {local_us if zone else "NULL::BIGINT"} END) AS utc_us
        FROM (SELECT *, TRY_CAST({amount} AS DOUBLE) AS amount, TRY_CAST({place} AS DOUBLE) AS place,
                     {_COUNTED_US} AS counted_us, {_OFFSET_MIN} AS offset_min,
                     TRY_CAST(CASE WHEN moment.day <> '' THEN trim(moment.day || ' ' || moment.clock) END
                              AS TIMESTAMP) AS local
              FROM moments)"""


# a bare number counts from 1970: its size tells seconds, milliseconds and microseconds apart
_COUNTED_US = """
    CASE WHEN abs(counted) < 1e11 THEN (counted * 1e6)::BIGINT
         WHEN abs(counted) < 1e14 THEN (counted * 1e3)::BIGINT
         WHEN abs(counted) < 1e17 THEN counted::BIGINT END"""
_OFFSET_MIN = """
    CASE WHEN moment.zone IN ('Z', 'z', 'UTC', 'GMT') THEN 0
         WHEN moment.zone <> '' THEN
             (CASE WHEN moment.zone[1] = '-' THEN -1 ELSE 1 END)
             * (60 * moment.zone[2:3]::INTEGER
                + coalesce(TRY_CAST(right(replace(moment.zone, ':', ''), -3) AS INTEGER), 0)) END"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason code, the SQL condition of a bad row, and the SQL of the message."""

    reason: str
    broken: str
    message: str


def _rules(table: Table, time: str, clock: Clock) -> list[Rule]:
    """All rules for the rows of a table; the first that a row breaks is what is said of it."""
    own = _EVENT_RULES if table == "events" else _ITEM_RULES
    return [*_text_rules(table), *own, *_time_rules(time, clock), *_number_rules(table)]


_KINDS = ", ".join(literal(kind) for kind in EVENT_KINDS)
_EVENT_RULES: tuple[Rule, ...] = (
    Rule("missing_value", "user_id IS NULL", "'user_id is empty: every event needs a user'"),
    Rule("missing_value", "kind IS NULL", "'kind is empty: every event needs a kind'"),
    Rule(
        "unknown_kind",
        f"lower(kind) NOT IN ({_KINDS})",
        f"'kind must be one of {', '.join(EVENT_KINDS)}; got ''' || left(kind, 64) || ''''",
    ),
    Rule(
        "missing_value",
        "item_id IS NULL AND lower(kind) <> 'search'",
        "'item_id is empty: every event but a search needs an item'",
    ),
    Rule("missing_value", '"time" IS NULL', "'time is empty: every event needs a time'"),
)
_ITEM_RULES: tuple[Rule, ...] = (Rule("missing_value", "item_id IS NULL", "'item_id is empty'"),)


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


def _time_rules(column: str, clock: Clock) -> Sequence[Rule]:
    name = identifier(column)
    got = f"left({name}, 64)"
    rules: list[Rule] = [
        Rule(
            "time_unparsable",
            f"{name} IS NOT NULL AND counted_us IS NULL AND (local IS NULL OR abs(offset_min) > 840)",
            f"'{column} ''' || {got} || ''' is no time: write it like 2026-11-23T10:00:00+00:00'",
        ),
        Rule(
            "time_without_zone",
            f"{name} IS NOT NULL AND utc_us IS NULL",
            f"'{column} ''' || {got} || ''' carries no zone: append +00:00, or run again with --timezone ZONE'",
        ),
    ]
    if not clock.to_utc:
        said = f"'{column} ''' || {got} || ''' is not in UTC: run again with --to-utc to convert it'"
        rules.append(Rule("time_not_utc", "offset_min <> 0", said))
    said = f"'{column} ''' || {got} || ''' lies before 1990 or after tomorrow: check the clock and the unit'"
    rules.append(Rule("time_impossible", f"utc_us < {_FIRST_US} OR utc_us > {clock.last_us}", said))
    return rules


def _number_rules(table: Table) -> Sequence[Rule]:
    column = "value" if table == "events" else "price"
    got = f"left({column}, 64)"
    rules: list[Rule] = [
        Rule(
            "bad_number",
            f"{column} IS NOT NULL AND amount IS NULL",
            f"'{column} ''' || {got} || ''' is no number: write it like 12.50'",
        ),
        Rule(
            "not_finite",
            f"NOT isfinite(amount) OR abs(amount) > {_MAX_FLOAT32}",
            f"'{column} ''' || {got} || ''' is not finite'",
        ),
    ]
    if table == "items":
        rules.append(Rule("bad_number", "amount < 0", f"'price ' || {got} || ' is below 0'"))
    else:
        whole = "place BETWEEN 0 AND 2147483647 AND place = floor(place)"
        wrong = f"position IS NOT NULL AND NOT coalesce({whole}, false)"
        said = "'position ''' || left(position, 64) || ''' is no whole number from 0'"
        rules.append(Rule("bad_number", wrong, said))
    return rules


# one event without an id is known by what it says, so that importing it again does not count it twice
_CONTENT_ID = """
    'h' || md5(concat_ws(chr(31), coalesce(utc_us::VARCHAR, ''), coalesce(user_id, ''), coalesce(lower(kind), ''),
        coalesce(item_id, ''), coalesce(query, ''), coalesce(amount::VARCHAR, ''), coalesce(session_id, ''),
        coalesce(decision_id, ''), coalesce(position, '')))"""


def _typed(column: str) -> str:
    value = {
        "event_id": f"coalesce(event_id, {_CONTENT_ID})",
        "kind": "lower(kind)",
        "value": "amount",
        "price": "amount",
        "position": "TRY_CAST(place AS INTEGER)",
        "category": r"regexp_replace(category, '\s*>\s*', ' > ', 'g')",
    }.get(column, identifier(column))
    return f"{value} AS {identifier(column)}"
