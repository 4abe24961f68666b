from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data import aside, gather, gathered, sift
from honeyguide.data import lines as lines_module
from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, stored_table
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.reading import RawFile, open_raw
from honeyguide.data.sources import known
from honeyguide.data.sources.canonical import Canonical
from honeyguide.data.sources.layout import Layout
from honeyguide.data.validate import Clock

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CLOCK = Clock(NOW, to_utc=True, timezone=None)
EVENTS = Canonical.layouts[0]


def rows_of(folder: Path, table: Table) -> list[dict[str, Any]]:
    path = folder / f"{table}.parquet"
    if not path.exists():
        return []
    with database() as db:
        query = f"SELECT to_json(t)::VARCHAR FROM ({stored_table(db, path, STORED[table])}) t"
        return [
            {k: v for k, v in json.loads(row).items() if v is not None}
            for (row,) in db.execute(query).fetchall()
        ]


def import_with(
    monkeypatch: pytest.MonkeyPatch, folder: Path, layout: Layout, content: str, name: str = "f.jsonl"
) -> ImportReport:
    class Own:
        name = "own"
        layouts = (layout,)

    monkeypatch.setattr(known, "SOURCES", (Own(), Canonical()))
    (folder / name).write_text(content)
    (folder / "items.csv").write_text("item_id,title\ni1,One\ni2,Two\n")
    return import_files(folder / "data", [folder / "items.csv", folder / name], now=NOW)


ORDER = Layout(
    table="events",
    required=("order", "lines"),
    columns={
        "event_id": "\"order\" || '-' || nth",
        "time": "'2024-05-01T10:00:00Z'",
        "user_id": "buyer",
        "kind": "'purchase'",
        "item_id": "json_extract_string(each, '$.sku')",
        "value": "json_extract_string(each, '$.price')",
    },
    optional=("buyer",),
    each="TRY_CAST(lines AS JSON[])",
)


def test_each_element_of_a_list_becomes_a_row_and_a_bad_one_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        {"order": "o1", "buyer": "u", "lines": [{"sku": "i1", "price": 5}, {"sku": "none"}, {"sku": "i2"}]},
        {"order": "o2", "buyer": "u", "lines": []},
        {"order": "o3", "lines": [{"sku": "i1"}]},
    ]
    report = import_with(monkeypatch, tmp_path, ORDER, "\n".join(map(json.dumps, lines)) + "\n{broken\n")
    assert [row["event_id"] for row in rows_of(tmp_path / "data", "events")] == ["o1-1", "o1-3"]
    assert {(p.reason, p.row) for p in report.problems} == {
        ("unknown_item", 1),
        ("missing_value", 3),
        ("malformed_row", 4),
    }
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [row["raw"][:9] for row in aside] == ['{"order":', '{"order":', "{broken"]


def test_rows_of_another_kind_are_passed_over_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = replace(ORDER, where="\"order\" <> 'ping'")
    lines = [
        {"order": "ping", "lines": [{"sku": "x"}]},
        {"order": "o", "buyer": "u", "lines": [{"sku": "i1"}]},
        {"order": "ping", "lines": []},
    ]
    report = import_with(monkeypatch, tmp_path, layout, "\n".join(map(json.dumps, lines)))
    assert (report.events.read, report.events.kept) == (1, 1)
    assert any("2 rows" in note and "passed over" in note for note in report.notes)


def test_what_rows_tell_by_the_way_fills_gaps_and_never_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = Layout(
        table="items",
        required=(),
        columns={"item_id": "sku", "title": "title", "brand": "brand"},
        derived=True,
    )
    layout = Layout(
        table="events",
        required=("sku", "title"),
        optional=("brand",),
        columns={"time": "'1714557600'", "user_id": "'u' || _row", "kind": "'view'", "item_id": "sku"},
        also=(items,),
    )
    rows = "sku,title,brand\ni1,Other name,\nn1,New,\nn1,Newer,Acme\nn1,,\n"
    report = import_with(monkeypatch, tmp_path, layout, rows, "f.csv")
    found = {row["item_id"]: row for row in rows_of(tmp_path / "data", "items")}
    assert found["i1"]["title"] == "One"
    assert found["n1"] == {"item_id": "n1", "title": "Newer", "brand": "Acme"}
    assert (report.events.kept, report.items.new, report.problems) == (4, 3, ())
    assert [row["user_id"] for row in rows_of(tmp_path / "data", "events")] == ["u1", "u2", "u3", "u4"]


def test_columns_without_a_place_become_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(
        table="users", required=("uid",), columns={"user_id": "uid"}, rest=True, absent=("item_id",)
    )
    lines = [{"uid": "a", "age": 31, "likes": ["x", {"y": 1}], "city": "", "note": None}, {"uid": "b"}]
    report = import_with(monkeypatch, tmp_path, layout, "\n".join(map(json.dumps, lines)))
    first, second = rows_of(tmp_path / "data", "users")
    assert json.loads(first["attributes"]) == {"age": "31", "likes": ["x", {"y": 1}]}
    assert second == {"user_id": "b"}
    assert report.tables["users"].kept == 2


def test_every_canonical_table_can_be_imported(tmp_path: Path) -> None:
    files = {
        "touches": "user_id,campaign_id,kind,time,value\nu,c,sent,1714557600,\nu,c,redeemed,,2\nu,c,gone,,\n",
        "messages": "text,intent\nwhere is it,track_order\n,track_order\n",
        "identities": "anonymous_id,user_id\ncookie,u\ncookie2,\n",
        "users": 'user_id,attributes\nu,"{""age"": 3}"\n',
    }
    for name, content in files.items():
        (tmp_path / f"{name}.csv").write_text(content)
    report = import_files(tmp_path / "data", [tmp_path / f"{name}.csv" for name in files], now=NOW)
    counts = {table: (count.kept, count.quarantined) for table, count in report.tables.items() if count.read}
    assert counts == {"users": (1, 0), "identities": (1, 1), "touches": (2, 1), "messages": (1, 1)}


def test_an_event_of_a_device_alone_belongs_to_the_device(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,title\ni1,One\n")
    rows = "time,user_id,anonymous_id,kind,item_id,consent\n1714557600,,d,view,i1,No\n1714557601,u,d,view,i1,TRUE\n"
    (tmp_path / "e.csv").write_text(rows + "1714557602,u,d,view,i1,maybe\n")
    report = import_files(tmp_path / "data", [tmp_path / "i.csv", tmp_path / "e.csv"], now=NOW)
    found = [(row["user_id"], row["consent"]) for row in rows_of(tmp_path / "data", "events")]
    assert sorted(found) == [("d", False), ("u", True)]
    assert [problem.reason for problem in report.problems] == ["bad_flag"]


TIMES = """2024-05-01T10:00:00Z|2024-05-01 10:00:00.5+00:00|2024-05-01T12:00:00+02:00|1714557600|1714557600.5|
1714557600123|1e9|1714557600_0|2024-05-01Z|10:00Z|infinity|0x10|| 1714557600 |..|-5|99999999999999999999|epoch|²|
2024-13-01T00:00:00Z|2024-05-01T24:00:00Z|20240501T100000Z"""
TEXT = {
    "time": st.sampled_from(TIMES.replace("\n", "").split("|")),
    "value": st.sampled_from("1|-2.5|1e3|nan|inf|| 3 |1_000|1e300|0x1|5,5|٣|.5|5.".split("|")),
    "position": st.sampled_from("0|1|1.0|1.5|-1|3e9||2147483647|1e2|x".split("|")),
    "kind": st.sampled_from("view|View|search|buy|| view".split("|")),
    "item_id": st.sampled_from(
        ["i1", " i1", "i1 ", "", "none", "i" * 257, "é" * 200, "a\x00b", "\u00a0i1", "i1\u3000"]
    ),
    "user_id": st.sampled_from(["u", "", " ", "ü", "\t", "u" * 256]),
    "consent": st.sampled_from("true|F|0||maybe|YES".split("|")),
    "propensity": st.sampled_from("0.5|0|1|1.1||-0.1|1e-9".split("|")),
    "currency": st.sampled_from("usd|EUR|| eur".split("|")),
}
RAW = RawFile(Path("t"), Path(__file__), "csv", dict.fromkeys(TEXT, "VARCHAR"), {name: name for name in TEXT})


def judged(rows: list[dict[str, str]], folder: Path) -> tuple[list[Any], list[Any]]:
    """The good rows and what is wrong with the others."""
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    with database() as db:
        types = ", ".join(f"'{name}': 'VARCHAR'" for name in TEXT)
        db.execute(
            f"CREATE TABLE loaded_rows AS FROM read_json('{file}', records = true, columns = {{{types}}})"
        )
        db.execute("CREATE VIEW loaded AS SELECT *, rowid + 1 AS _row FROM loaded_rows")
        db.execute("CREATE TABLE known AS SELECT 'i1' AS item_id")
        db.execute(aside.REJECTS)
        sift.sift(db, RAW, EVENTS, "sifted", CLOCK, loaded="loaded")
        entry = gathered.Input(0, RAW, EVENTS)
        gather._judge_doubtful(db, entry, EVENTS, "sifted", CLOCK)
        part = gathered.Sifted(0, "sifted", EVENTS, tuple(sift.filled(RAW, EVENTS)))
        gather._reject_unknown_items(db, part, entry)
        good = db.execute("SELECT row, * EXCLUDE (texts, row) FROM sifted WHERE ok ORDER BY row").fetchall()
        return good, db.execute("SELECT _row, reason, message FROM rejects ORDER BY ALL").fetchall()


def test_blanks_of_every_kind_are_no_part_of_an_id(tmp_path: Path) -> None:
    row = {name: "" for name in TEXT} | {"time": "2024-05-01T10:00:00Z", "user_id": "u", "kind": "view"}
    ids = ["i1", "\u00a0i1", "i1\u00a0", "\u3000i1", "i1\u2003 "]
    good, _ = judged([{**row, "item_id": item, "currency": "EUR"} for item in ids], tmp_path)
    assert [found[5] for found in good] == ["i1"] * len(ids)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.fixed_dictionaries(TEXT), min_size=1, max_size=20))
def test_what_is_plainly_good_is_what_a_close_look_finds_good_and_the_same(
    tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    quickly = judged(rows, tmp_path)
    with patch.object(sift, "_plain", lambda table, fields: "false"):
        assert judged(rows, tmp_path) == quickly


def test_sifting_joins_nothing_because_a_join_would_lose_the_order_of_the_rows(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(",".join(STORED["events"]) + "\n")
    queries: list[str] = []

    class Recorder:
        def execute(self, query: str) -> None:
            queries.append(query)

    with database() as db:
        raw = open_raw(db, tmp_path / "e.csv", tmp_path / "e.csv")
        sift.sift(cast("duckdb.DuckDBPyConnection", Recorder()), raw, EVENTS, "sifted", CLOCK)
        plan = db.execute(f"EXPLAIN {queries[0]}").fetchall()[0][1]
    assert "READ_CSV" in plan
    assert "JOIN" not in plan


NAMES = ("event_id", "time", "user_id", "kind", "item_id")


def test_rows_keep_their_numbers_in_a_file_that_is_read_by_several_threads(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,title\ni1,One\n")
    n, bad = 400_000, (1, 150_001, 399_999)

    def csv_fields(i: int) -> list[str]:
        return [f"e{i}", "never" if i in bad else "1714557600", "u", "view", "i1"]

    rows = [csv_fields(i) for i in range(1, n + 1)]
    texts = {
        "csv": [",".join(NAMES), *map(",".join, rows)],
        "jsonl": [json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows],
    }
    for kind, lines in texts.items():
        file = tmp_path / f"e.{kind}"
        file.write_text("\n".join(lines))
        report = import_files(tmp_path / kind, [tmp_path / "i.csv", file], now=NOW)
        aside = [json.loads(row) for row in Path(str(report.quarantine)).read_text().splitlines()]
        assert [row["row"] for row in aside] == list(bad)
        assert all(
            f'e{row}"' in json.dumps(entry["raw"]) or f'e{row}\\"' in json.dumps(entry["raw"])
            for row, entry in zip(bad, aside, strict=True)
        )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"", b" ", b"\t\r", b"x", b" y ", b'{"a": 1}', b"\xff"]), max_size=30),
    st.data(),
)
def test_lines_are_found_by_their_number_whatever_blanks_are_between(
    lines: list[bytes], data: st.DataObject
) -> None:
    filled = [line.strip() for line in lines if line.strip()]
    rows = sorted(data.draw(st.sets(st.integers(1, len(filled))))) if filled else []
    block = data.draw(st.integers(1, 20))
    with tempfile.TemporaryDirectory() as folder, patch.object(lines_module, "_BLOCK", block):
        path = Path(folder) / "f"
        path.write_bytes(b"\n".join(lines))
        assert list(lines_module.pick_lines(path, rows)) == [(row, filled[row - 1]) for row in rows]


def test_keys_are_sampled_from_all_over_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    filler = json.dumps({"Time": 1, "x": "y" * 200}) + "\n"
    late = json.dumps({"Late Key": 1, "x": "y" * 200}) + "\n"
    path.write_text(filler * 60_000 + late * 3_000 + filler)
    assert dict(lines_module.sample_keys(path)) == {"time": "Time", "x": "x", "late key": "Late Key"}


PLAIN = replace(
    ORDER,
    required=("order", "buyer"),
    optional=("sku",),
    each=None,
    columns={**ORDER.columns, "event_id": '"order"', "item_id": "sku", "value": "'1'"},
)


@pytest.mark.parametrize("layout", [ORDER, PLAIN])
def test_a_line_that_ends_too_early_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    lines = [
        json.dumps({"order": f"o{n}", "buyer": "u", "sku": "i1", "lines": [{"sku": "i1"}]}) for n in range(9)
    ]
    lines[1], lines[4], lines[5] = lines[1][:12], "[" * 2000, lines[5][:-1]
    report = import_with(monkeypatch, tmp_path, layout, "\n".join(lines))
    found = [row["event_id"][:2] for row in rows_of(tmp_path / "data", "events")]
    assert found == ["o0", "o2", "o3", "o6", "o7", "o8"]
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["message"]) for row in aside] == [
        (row, "the line is no JSON object") for row in (2, 5, 6)
    ]


def test_quotes_without_a_meaning_stay_as_they_are_beside_a_broken_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(
        table="items", required=("sku", "title"), columns={"item_id": "sku", "title": "title"}, quoted=False
    )
    rows = 'sku\ttitle\na\t12" pan\nb\t"Best" shoe\nx\none\ttoo\tmany\nc\t""\rd\n'
    report = import_with(monkeypatch, tmp_path, layout, rows, "f.tsv")
    found = {row["item_id"]: row["title"] for row in rows_of(tmp_path / "data", "items")}
    assert found == {"i1": "One", "i2": "Two", "a": '12" pan', "b": '"Best" shoe', "c": '"" d'}
    assert {problem.reason: problem.rows for problem in report.problems} == {"malformed_row": 2}


@pytest.mark.parametrize("place", [0, 1, 99, 100, 101, 150, 299])
def test_what_a_file_holds_is_found_wherever_its_blocks_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(lines_module, "_SCANNED", 100)
    content = bytearray(b"x" * 300)
    content[place : place + 2] = b"ab"
    (tmp_path / "f").write_bytes(bytes(content))
    assert lines_module.holds(tmp_path / "f", b"a", b"ab", b"aba") == (True, True, False)
    (tmp_path / "empty").write_bytes(b"")
    assert lines_module.holds(tmp_path / "empty", b"a") == (False,)
