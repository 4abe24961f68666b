from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data import reading
from honeyguide.data.database import database
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.sources.known import SOURCES
from honeyguide.data.sources.layout import Source
from honeyguide.errors import HoneyguideError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = b"item_id,title\ni1,Red shoe\n"
EVENTS = b"time,user_id,kind,item_id\n"
GOOD = b"2024-05-01T10:00:00Z,u,view,i1\n"

patient = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NASTY = [
    b"",
    b"\x00",
    b"\xff\xfe" + "time".encode("utf-16-le"),
    b"\xef\xbb\xbf",
    b'"',
    b'""""""',
    b'time,user_id,kind,item_id\n"' + b"x" * 200_000,
    b"time,user_id,kind,item_id\n" + b'"\n' * 2_000,
    b"time,user_id,kind,item_id\n" + b",,,\n" * 100,
    b"time,user_id,kind,item_id\n" + b"\r\r\r\n",
    b"time,user_id,kind,item_id\r" + GOOD,
    b"time\tuser_id\tkind\titem_id\n" + GOOD,
    b"time,user_id,kind,item_id,_row,_line,reason,rule,local,moment,amount\n"
    + GOOD[:-1]
    + b",1,2,3,4,5,6,7\n",
    b'time,user_id,kind,item_id,"a\'b""c"\n' + GOOD,
    b"time,user_id,kind,item_id,,\n" + GOOD,
    b"item_id,title,category\n" + b">,>,>\n" + b"\xe2\x80\xae,\xf0\x9f\x90\x9d,a > > b\n",
    b'{"time": {"a": [1, 2]}, "user_id": [1], "kind": true, "item_id": 1e999}',
    b'{"time": 1, "Time": 2, "user_id": 3, "kind": 4, "item_id": 5, "a/b~\\"\'": 6}',
    b'{"time": 1714557600, "user_id": "u\\u0000", "kind": "view", "item_id": "i1"}\n{"\\u0000": 1}',
    b'{"' + b"k" * 100_000 + b'": 1, "item_id": "a", "title": "b", "_row": 1, "_line": 2}',
    b"{" * 100_000,
    b"[" * 100_000,
    b'[{"a": 1},, {"b"',
    b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><rss>&b;</rss>",
    b"<?xml version='1.0' encoding='utf-7'?><rss><channel><item><title>+AGE-</title></item></channel></rss>",
    b"<rss><channel><item>" * 500,
    b'<html><script type="application/ld+json">{"@type": "Product", "name": </script>',
    b"\x1f\x8b\x08\x00" + b"\x00" * 40,
    b"PK\x03\x04" + b"\x00" * 60,
    b"PAR1PAR1",
    b"PAR1" + b"\x00" * 100 + b"PAR1",
    b"PAR1" + b"\xff" * 100 + b"\xff\xff\xff\x7fPAR1",
]


@cache
def one_item() -> Path:
    """A data folder with the item i1: to copy, never to write to."""
    home = Path(tempfile.mkdtemp(prefix="one-item-"))
    (home / "items.csv").write_bytes(ITEMS)
    import_files(home / "data", [home / "items.csv"], now=NOW)
    return home / "data"


def import_bytes(content: bytes, name: str = "events.csv", *, format: str | None = None) -> ImportReport:
    """Import `content` where an item is; what was stored first must be there afterwards, whatever happens."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(shutil.copytree(one_item(), Path(folder) / "data"))
        Path(folder, name).write_bytes(content)
        try:
            report = import_files(data, [Path(folder, name)], now=NOW, to_utc=True, format=format)
        finally:
            with database() as db:
                ids = db.execute(f"SELECT item_id FROM '{data}/items.parquet'").fetchall()
            assert ("i1",) in ids
        text = Path(report.quarantine).read_text(encoding="utf-8") if report.quarantine else ""
        aside = [json.loads(line) for line in text.split("\n") if line]
    assert len(aside) == sum(count.quarantined for count in report.tables.values())
    assert sum(problem.rows for problem in report.problems) == len(aside)
    for count in report.tables.values():
        assert count.read == count.kept + count.quarantined
    return report


def import_or_refuse(content: bytes, name: str = "events.csv", *, format: str | None = None) -> None:
    with suppress(HoneyguideError):
        import_bytes(content, name, format=format)


@pytest.mark.parametrize("name", ["events.csv", "events.jsonl", "events.parquet"])
def test_no_nasty_file_gives_anything_but_a_report_or_a_typed_error(name: str) -> None:
    for content in NASTY:
        import_or_refuse(content, name)


VALUES: list[object] = [
    None, "", "x", "[", "{}", "[[]]", "\x7f", 0, -1, 1e308, True, [], {}, [None], [{}], {"": {}}, [[["x"]]],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_format_is_upset_by_a_file_that_has_its_names_and_nonsense_in_them(source: Source) -> None:
    for layout in source.layouts:
        names = [*layout.required, *layout.optional]
        lines = [json.dumps(dict.fromkeys(names, value)).encode() for value in VALUES]
        import_or_refuse(b"\n".join([b"{}", *lines]), "events.jsonl", format=source.name)


@patient
@given(st.binary(max_size=300))
def test_no_bytes_crash_an_import(content: bytes) -> None:
    import_or_refuse(content)


@pytest.mark.slow
@thorough
@given(st.lists(st.one_of(st.just(GOOD), st.binary(max_size=40).map(lambda b: b + b"\n")), max_size=12))
def test_no_bytes_under_a_good_header_crash_an_import(lines: list[bytes]) -> None:
    report = import_bytes(EVENTS + b"".join(lines))
    assert report.events.read >= lines.count(GOOD) or any(b'"' in line for line in lines)


@pytest.mark.slow
@thorough
@given(st.lists(st.dictionaries(
    st.sampled_from(["time", "user_id", "kind", "item_id", "value", "position", "x"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2),
              st.sampled_from(["view", "i1", "2024-05-01T10:00:00Z", "1714557600"])),
), min_size=1, max_size=8))  # fmt: skip
def test_no_json_objects_crash_an_import(rows: list[dict[str, object]]) -> None:
    first = {"time": 1714557600, "user_id": "u", "kind": "view", "item_id": "i1"}
    lines = [json.dumps(row).encode() for row in [first, *rows]]
    assert import_bytes(b"\n".join(lines), "events.jsonl").events.read == len(lines)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6))
def test_no_damaged_parquet_crashes_an_import(changes: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as db:
        path = f"{folder}/e.parquet"
        db.execute(f"""COPY (SELECT '2024-05-01T10:00:00Z' AS time, 'u' || i AS user_id, 'view' AS kind,
            'i1' AS item_id FROM range(200) t(i)) TO '{path}' (FORMAT parquet)""")
        content = bytearray(Path(path).read_bytes())
    for place, value in changes:
        content[4 + place % (len(content) - 4)] = value
    import_or_refuse(bytes(content), "events.parquet")


field = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8)


@pytest.mark.slow
@thorough
@given(st.lists(st.tuples(field, field, field), min_size=1, max_size=8))
def test_a_scrubbed_csv_reads_like_one_that_needed_no_scrubbing(rows: list[tuple[str, str, str]]) -> None:
    text = "a,b,c\n" + "".join(",".join('"' + v.replace('"', '""') + '"' for v in row) + "\n" for row in rows)
    clean, dirty = text.encode(), text.encode() + b"\xff,,\n"
    with tempfile.TemporaryDirectory() as folder, database() as db:
        scratch = Path(folder)
        found = []
        for name, content in (("clean", clean), ("dirty", dirty)):
            path = scratch / f"{name}.csv"
            path.write_bytes(content)
            raw = reading.open_raw(db, path, path)
            assert tuple(raw.columns) == ("a", "b", "c")
            if name == "dirty":
                raw = reading.scrubbed(raw, scratch)
                assert [reject.row for reject in raw.rejects] == [len(rows) + 1]
            found.append(
                db.execute(
                    f"SELECT nullif(a, ''), nullif(b, ''), nullif(c, '') FROM ({raw.relation('abc')})"
                ).fetchall()
            )
    assert found[0] == found[1]
    assert found[0] == [tuple(v or None for v in row) for row in rows]


@pytest.mark.parametrize(
    "keys",
    [b'"time": 1714557600, "user_id": "u", "kind": "view", "item_id": "i1"', b'"item_id": "a", "title": "b"'],
)
def test_objects_nested_without_end_cost_only_their_line(keys: bytes) -> None:
    deep = b"{" + keys + b', "x": ' + b'{"a":' * 150_000 + b"1" + b"}" * 150_000 + b"}"
    fine = b"{" + keys.replace(b'"u"', b'"v"').replace(b'"a"', b'"c"') + b', "x": "' + b"y" * 150_000 + b'"}'
    good = b"{" + keys + b"}"
    report = import_bytes(b"\n".join([good, deep, fine]), "events.jsonl")
    assert [(problem.reason, problem.row) for problem in report.problems] == [("malformed_row", 2)]
    assert "deep" in report.problems[0].message
