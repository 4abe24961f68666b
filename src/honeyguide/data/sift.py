"""One pass over a file that keeps what is plainly good, typed, and sets aside what has to be looked at closely.

Nearly every row of a log is plainly good, and a few cheap comparisons show it. Whatever they do not show to be good
is only doubtful: `validate.judge` has the last word on it, and whatever both find good they make the same of.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from honeyguide.data.columns import IDS, KEYS, STORED, Table
from honeyguide.data.database import identifier, literal, number
from honeyguide.data.reading import ROW, RawFile
from honeyguide.data.scrub import SHOWN
from honeyguide.data.sources.layout import Layout
from honeyguide.data.validate import (
    CONTENT_IDS,
    FALSE,
    FIRST_US,
    KINDS,
    MAX_FLOAT32,
    MAX_ID_CHARS,
    MAX_TEXT_BYTES,
    RANGES,
    REQUIRED,
    TRUE,
    Clock,
    canonical,
    content_id,
    counted_us,
    flag,
)

_NUMBERS = ("DOUBLE", "BIGINT", "NUMBER")
_PART_BYTES, _VECTOR_ROWS = 8 << 20, 2048


@dataclass(frozen=True, slots=True)
class _Field:
    """A canonical column as it comes in: SQL, its type, and then its stored value and what makes it plainly good."""

    column: str
    given: str
    type: str
    value: str
    plain: str


def sift(
    db: duckdb.DuckDBPyConnection,
    raw: RawFile,
    layout: Layout,
    target: str,
    clock: Clock,
    *,
    loaded: str | None = None,
) -> None:
    """Make the table `target`: the canonical columns, `ok`, `row`, and of doubtful rows `texts`.

    Whether the item of an event is known is not looked at here: a join would lose the order of the rows.
    `row` is the row's number in the file where it is not rowid + 1; `texts` are the canonical columns as text and
    last the row as JSON (NULL where the file's own line will be shown); the time is epoch microseconds. `loaded`
    names the file's rows where they were loaded already.
    """
    fields = [_field(raw, layout, clock, column) for column in filled(raw, layout)]
    names = _shown(raw, layout)
    given = [f"{field.given} AS given_{field.column}" for field in fields]
    given += [f"{identifier(name)} AS file_{place}" for place, name in enumerate(names)]
    given.append(f"{ROW} AS row" if loaded else "NULL::BIGINT AS row")
    values = ", ".join(f"{field.value} AS {identifier(field.column)}" for field in fields)
    texts = [f"given_{field.column}::VARCHAR" for field in fields]
    shown = ", ".join(
        f"{literal(name)}: left(file_{place}::VARCHAR, {SHOWN})" for place, name in enumerate(names)
    )
    texts.append(f"to_json({{{shown}}})::VARCHAR" if shown else "NULL::VARCHAR")
    plain = _plain(layout.table, fields)
    final = _final(layout.table, [field.column for field in fields])
    made = f"CREATE TABLE {target} AS"
    for part in _parts(db, raw, loaded):
        db.execute(f"""
            {made}
            SELECT {final}, ok, row,
                   CASE WHEN NOT ok THEN [{", ".join(texts)}] END AS texts
            FROM (SELECT *, coalesce({plain}, false) AS ok
                  FROM (SELECT *, {values} FROM (SELECT {", ".join(given)} FROM ({_rows(raw, layout, part)}))))""")
        made = f"INSERT INTO {target}"


def _parts(db: duckdb.DuckDBPyConnection, raw: RawFile, loaded: str | None) -> list[str | None]:
    """The loaded rows, in parts where they are long: DuckDB takes 2,048 apart at once, and JSON needs much memory."""
    size = raw.file.stat().st_size if loaded else 0
    if size <= _PART_BYTES:
        return [loaded]
    rows = number(db, f"SELECT count(*) FROM {loaded}")
    step = max(1, rows * _PART_BYTES // size)
    if step >= _VECTOR_ROWS:
        return [loaded]
    starts = range(1, rows + 1, step)
    return [f"(FROM {loaded} WHERE {ROW} BETWEEN {start} AND {start + step - 1})" for start in starts]


def _shown(raw: RawFile, layout: Layout) -> list[str]:
    """The columns that quarantine shows of a doubtful row."""
    if raw.kind != "jsonl":
        return list(raw.columns)
    return [column for column in needed(raw, layout) if column in raw.columns] if is_plain(layout) else []


def filled(raw: RawFile, layout: Layout) -> list[str]:
    """The canonical columns that a file of this layout has anything for, in their order, and those it must have."""
    forced = {*REQUIRED[layout.table], KEYS[layout.table], *_NAMED.get(layout.table, ())}
    return [
        column
        for column in STORED[layout.table]
        if column in forced
        or (layout.rest and column == "attributes")
        or is_there(raw, layout, layout.columns.get(column))
    ]


def is_there(raw: RawFile, layout: Layout, given: str | None) -> bool:
    """Whether a file has what a canonical column is made of: an optional column may be missing."""
    if given is None:
        return False
    bare = given.strip('"')
    return bare in raw.columns or not (bare in layout.optional and bare.isidentifier())


_NAMED: dict[str, tuple[str, ...]] = {"events": ("item_id",)}  # the rules speak of it


def needed(raw: RawFile, layout: Layout) -> list[str]:
    """The columns of a file that a layout reads."""
    if raw.kind != "jsonl":
        return list(raw.columns) + [column for column in layout.optional if column not in raw.columns]
    wanted = [*layout.required, *layout.optional]
    for other in layout.also:
        wanted += [*other.required, *other.optional]
    return list(dict.fromkeys([*wanted, *(raw.columns if layout.rest else ())]))


def is_plain(layout: Layout) -> bool:
    """Whether every row of the file is one row of the table."""
    said = " ".join(layout.columns.values())
    return not (layout.each or layout.where or layout.also or ROW in said)


def _rows(raw: RawFile, layout: Layout, loaded: str | None) -> str:
    """SQL for the rows of the table as the file gives them."""
    if loaded is None:
        return raw.relation(needed(raw, layout))
    where = f"WHERE {layout.where}" if layout.where else ""
    if layout.each is None:
        return f"SELECT * FROM {loaded} {where}"
    return f"""SELECT * EXCLUDE (elements), unnest(elements) AS "each", generate_subscripts(elements, 1) AS nth
               FROM (SELECT *, {layout.each} AS elements FROM {loaded} {where})"""


def _field(raw: RawFile, layout: Layout, clock: Clock, column: str) -> _Field:
    given, kind = layout.columns.get(column), "VARCHAR"
    if layout.rest and column == "attributes":
        given = _beside(given, _rest(raw, layout))
    elif given is None or not is_there(raw, layout, given):
        given = "NULL::VARCHAR"
    elif (bare := given.strip('"')) in raw.columns:
        given, kind = identifier(bare), raw.columns[bare]
    else:
        given = f"({given})::VARCHAR"
    name = f"given_{column}"
    devices = is_there(raw, layout, layout.columns.get("anonymous_id"))
    value, plain = _value(
        layout.table,
        column,
        name,
        kind,
        clock,
        layout.zone,
        may_hold_nul=raw.may_hold_nul,
        has_devices=devices,
    )
    return _Field(column, given, kind, value, plain)


def _beside(own: str | None, rest: str) -> str:
    """SQL for one JSON object out of two, either of which may be NULL."""
    if own is None:
        return rest
    return f"nullif(json_merge_patch(coalesce(({own})::VARCHAR, '{{}}'), coalesce({rest}, '{{}}'))::VARCHAR, '{{}}')"


def _rest(raw: RawFile, layout: Layout) -> str:
    """SQL for the columns that have no place of their own, as one JSON object without those that are empty."""
    taken = {*layout.required, *layout.optional}
    rest = [column for column in raw.columns if column not in taken]
    if not rest:
        return "NULL::VARCHAR"
    is_nested = "left({0}, 1) IN ('{{', '[') AND strlen({0}) <= {1} AND json_valid({0})"
    nested = f"CASE WHEN {is_nested} THEN {{0}}::JSON ELSE to_json({{0}}) END".replace(
        "{1}", f"{MAX_TEXT_BYTES}"
    )
    text = "{0}" if raw.kind == "csv" else nested
    parts = ", ".join(
        f"CASE WHEN {name} <> '' THEN json_object({literal(key)}, {text.format(name)}) ELSE '{{}}' END"
        for key, name in ((_untyped(column, layout), f"{identifier(column)}::VARCHAR") for column in rest)
    )
    merged = f"json_merge_patch({parts}, '{{}}')" if len(rest) > 1 else parts
    return f"nullif(({merged})::VARCHAR, '{{}}')"


def _untyped(column: str, layout: Layout) -> str:
    return column.rpartition(layout.type_mark)[0] or column if layout.type_mark else column


def _value(
    table: Table,
    column: str,
    name: str,
    kind: str,
    clock: Clock,
    zone: str | None,
    *,
    may_hold_nul: bool,
    has_devices: bool,
) -> tuple[str, str]:
    """SQL for a column's stored value, and for what makes it plainly good (NULL counts as good)."""
    stored = STORED[table][column]
    if stored == "TIMESTAMPTZ":
        value = _epoch_us(name, kind, clock.timezone or zone)
        within = f"{identifier(column)} BETWEEN {FIRST_US} AND {clock.last_us}"
        return value, f"({name} IS NULL OR coalesce({within}, false))"
    if stored in ("DOUBLE", "INTEGER"):
        return _number(column, name, kind, stored)
    if stored == "BOOLEAN":
        if kind == "BOOLEAN":
            return name, "true"
        return flag(
            f"{name}::VARCHAR"
        ), f"({name} IS NULL OR list_contains({[*TRUE, *FALSE]}, lower({name}::VARCHAR)))"
    anonymous = "nullif(given_anonymous_id::VARCHAR, '')" if has_devices else None
    if kind not in ("VARCHAR", "JSON"):
        return canonical(table, column, f"{name}::VARCHAR", anonymous), "true"
    limit = MAX_ID_CHARS if column in IDS else MAX_TEXT_BYTES
    nul = f" AND NOT contains({name}, chr(0))" if may_hold_nul else ""
    # from "!" on there is no control character in front; blanks are of many kinds
    plain = f"({name} >= '!' AND strlen({name}) <= {limit} AND {name} = trim({name}){nul})"
    return canonical(
        table, column, f"nullif({name}, '')", anonymous
    ), f"({name} IS NULL OR {plain} OR {name} = '')"


def _number(column: str, name: str, kind: str, stored: str) -> tuple[str, str]:
    number = f"TRY_CAST({name} AS DOUBLE)" if kind not in ("DOUBLE",) else name
    empty = f"{name} IS NULL" if kind in _NUMBERS else f"{name} IS NULL OR {name} = ''"
    within = RANGES[column][2] if column in RANGES else f"BETWEEN -{MAX_FLOAT32} AND {MAX_FLOAT32}"
    good = f"{number} {within}"
    if stored == "INTEGER":
        good += f" AND {number} = floor({number})"
    plain = f"({empty} OR coalesce({good}, false))"
    if kind not in (*_NUMBERS, "VARCHAR"):
        return "NULL::DOUBLE", f"({name} IS NULL)"
    return (f"TRY_CAST({number} AS INTEGER)" if stored == "INTEGER" else number), plain


def _epoch_us(name: str, kind: str, zone: str | None) -> str:
    if kind == "TIMESTAMP WITH TIME ZONE" or (kind == "TIMESTAMP" and zone == "UTC"):
        return f"CASE WHEN isfinite({name}) THEN epoch_us({name}) END"
    if kind == "BIGINT":
        return counted_us(f"{name}::DOUBLE")
    if kind != "VARCHAR":
        return "NULL::BIGINT"
    digits = f"translate({name}, '0123456789', '') IN ('', '.')"
    number = f"CASE WHEN {digits} THEN TRY_CAST({name} AS DOUBLE) END"
    return f"""CASE WHEN suffix({name}, 'Z') OR suffix({name}, '+00:00') THEN epoch_us(TRY_CAST({name} AS TIMESTAMP))
                    ELSE {counted_us(f"({number})")} END"""


def _plain(table: Table, fields: list[_Field]) -> str:
    """SQL for a row that is plainly good."""
    parts = [
        field.plain
        for field in fields
        if field.plain != "true" and field.given != "NULL::VARCHAR" and field.column != "kind"
    ]
    parts += [f"{identifier(column)} IS NOT NULL" for column in REQUIRED[table]]
    if table in KINDS:
        parts.append(f"list_contains({list(KINDS[table])}, kind)")  # IN makes a join of a long list
    if table == "events":
        parts.append("(item_id IS NOT NULL OR kind = 'search')")
    return " AND ".join(parts)


def _final(table: Table, filled: list[str]) -> str:
    """SQL for the stored columns of the sifted rows; a row without an id is known by its content."""
    key = KEYS[table]
    columns = {column: identifier(column) for column in filled}
    if table in CONTENT_IDS:
        columns[key] = f"coalesce({key}, {content_id(table, columns)}) AS {key}"
    return ", ".join(columns.values())


__all__ = ["filled", "is_plain", "needed", "sift"]
