from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from honeyguide.data import database, ingest
from honeyguide.data.columns import STORED
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.errors import DamagedArtifact, InvalidFile, InvalidInput, NotReady

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = b"item_id,title,category,price\ni1,Red shoe,Shoes>Running,12.5\ni2,Blue shoe,Shoes > Running,\n"
HEADER = b"event_id,time,user_id,kind,item_id,value\n"
GOOD = b"e1,2024-05-01T10:00:00Z,u1,purchase,i1,3.5\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "shop" / "data"
    import_files(folder, [write(tmp_path / "items.csv", ITEMS)], now=NOW)
    return folder


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def stored(folder: Path, table: str = "events") -> list[tuple[Any, ...]]:
    path = folder / f"{table}.parquet"
    if not path.exists():
        return []
    columns = {
        "events": "event_id, epoch_us(time), user_id, kind, item_id, query, value, session_id, decision_id, position",
        "items": "item_id, title, description, category, brand, price, currency, epoch_us(created_at)",
    }[table]
    with database.database() as db:
        return db.execute(
            f"SELECT {columns} FROM ({database.stored_table(db, path, STORED[table])})"
        ).fetchall()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.parquet")}


def quarantined(report: ImportReport) -> list[dict[str, Any]]:
    if report.quarantine is None:
        return []
    return [json.loads(line) for line in Path(report.quarantine).read_text().splitlines()]


def one_event(folder: Path, row: bytes, **options: Any) -> ImportReport:
    return import_files(folder, [write(folder.parent / "one.csv", HEADER + row)], now=NOW, **options)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"e,2024-05-01T10:00:00Z,,view,i1,", "missing_value"),
        (b"e,2024-05-01T10:00:00Z,u,,i1,", "missing_value"),
        (b"e,2024-05-01T10:00:00Z,u,view,,", "missing_value"),
        (b"e,,u,view,i1,", "missing_value"),
        (b"e,2024-05-01T10:00:00Z,u,view,i3,", "unknown_item"),
        (b"e,yesterday,u,view,i1,", "time_unparsable"),
        (b"e,2024-02-30T10:00:00Z,u,view,i1,", "time_unparsable"),
        (b"e,2024-05-01T10:00:00+99:00,u,view,i1,", "time_unparsable"),
        (b"e,2024-05-01 10:00:00,u,view,i1,", "time_without_zone"),
        (b"e,2024-05-01,u,view,i1,", "time_without_zone"),
        (b"e,2024-05-01T10:00:00+02:00,u,view,i1,", "time_not_utc"),
        (b"e,2024-05-01T10:00:00-0330,u,view,i1,", "time_not_utc"),
        (b"e,1989-12-31T23:59:59Z,u,view,i1,", "time_impossible"),
        (b"e,2026-11-24T00:00:01Z,u,view,i1,", "time_impossible"),
        (b"e,20240501,u,view,i1,", "time_impossible"),
        (b"e,2024-05-01T10:00:00Z,u,view,i1,nan", "not_finite"),
        (b"e,2024-05-01T10:00:00Z,u,view,i1,-inf", "not_finite"),
        (b"e,2024-05-01T10:00:00Z,u,view,i1,1e300", "not_finite"),
        (b'e,2024-05-01T10:00:00Z,u,view,i1,"3,5"', "bad_number"),
        (b"e,2024-05-01T10:00:00Z,u,stare,i1,", "unknown_kind"),
        (b"e,2024-05-01T10:00:00Z," + b"u" * 257 + b",view,i1,", "field_too_long"),
        (b"e,2024-05-01T10:00:00Z," + b"u" * 10_000_000 + b",view,i1,", "field_too_long"),
        (b"e,2024-05-01T10:00:00Z,\xff,view,i1,", "invalid_utf8"),
        (b"e,2024-05-01T10:00:00Z,\xed\xa0\x80,view,i1,", "invalid_utf8"),
        (b"e,2024-05-01T10:00:00Z,u\x00,view,i1,", "malformed_row"),
        (b"e,2024-05-01T10:00:00Z,u,view,i1", "malformed_row"),
        (b"e,2024-05-01T10:00:00Z,u,view,i1,1,2", "malformed_row"),
        (b'e,2024-05-01T10:00:00Z,"u,view,i1,', "malformed_row"),
        (b'e,2024-05-01T10:00:00Z,"u"x,view,i1,', "malformed_row"),
        (b"e1,2024-05-01T11:00:00Z,u,view,i1,", "duplicate_event_id"),
    ],
)
def test_a_bad_row_goes_to_quarantine_with_its_reason_and_the_good_rows_stay(
    data: Path, row: bytes, reason: str
) -> None:
    report = one_event(data, GOOD + row + b"\n" + GOOD.replace(b"e1", b"e2"))
    (aside,) = quarantined(report)
    assert (aside["reason"], aside["row"]) == (reason, 2)
    assert aside["file"].endswith("one.csv")
    assert aside["message"]
    assert len(json.dumps(aside)) < 10_000
    assert [event[0] for event in stored(data)] == ["e1", "e2"]
    assert (report.events.read, report.events.kept, report.events.quarantined) == (3, 2, 1)
    (problem,) = report.problems
    assert (problem.reason, problem.rows, problem.row) == (reason, 1, 2)
    assert reason in str(report)


@pytest.mark.parametrize(
    ("time", "want"),
    [
        ("2024-05-01T10:00:00Z", 1714557600_000000),
        ("2024-05-01 10:00:00+00", 1714557600_000000),
        ("2024-05-01 10:00:00.123456 UTC", 1714557600_123456),
        ("2024-05-01T10:00+00:00", 1714557600_000000),
        ("1714557600", 1714557600_000000),
        ("1714557600.5", 1714557600_500000),
        ("1714557600123", 1714557600_123000),
        ("1714557600123456", 1714557600_123456),
    ],
)
def test_utc_in_any_spelling_is_the_same_moment(data: Path, time: str, want: int) -> None:
    one_event(data, f"e,{time},u,view,i1,\n".encode())
    assert stored(data)[0][1] == want


@pytest.mark.parametrize(
    ("time", "options", "want"),
    [
        ("2024-05-01T12:00:00+02:00", {"to_utc": True}, 1714557600_000000),
        ("2024-05-01T06:30:00-03:30", {"to_utc": True}, 1714557600_000000),
        ("2024-05-01 12:00:00", {"timezone": "Europe/Berlin"}, 1714557600_000000),
        ("2024-05-01 10:00:00", {"timezone": "UTC"}, 1714557600_000000),
        ("2024-05-01T10:00:00Z", {"timezone": "Europe/Berlin"}, 1714557600_000000),
    ],
)
def test_other_times_are_converted_when_the_user_says_so(
    data: Path, time: str, options: dict[str, Any], want: int
) -> None:
    one_event(data, f"e,{time},u,view,i1,\n".encode(), **options)
    assert stored(data)[0][1] == want


def test_an_unknown_time_zone_is_refused(data: Path) -> None:
    with pytest.raises(InvalidInput, match="Europe/Berlin"):
        one_event(data, GOOD, timezone="Middle/Earth")


def test_importing_again_changes_nothing_to_the_byte(data: Path) -> None:
    rows = GOOD + b",2024-05-01T10:00:00Z,u1,view,i1,\n"
    one_event(data, rows)
    before = bytes_of(data)
    report = one_event(data, rows)
    assert bytes_of(data) == before
    assert (report.events.kept, report.events.new, report.events.stored) == (2, 0, 2)


def test_the_last_import_of_an_id_stands(data: Path) -> None:
    one_event(data, GOOD)
    one_event(data, GOOD.replace(b"3.5", b"4.5"))
    assert [event[6] for event in stored(data)] == [4.5]
    import_files(data, [write(data.parent / "more.csv", b"item_id,title\ni1,Green shoe\ni0,Sock\n")], now=NOW)
    assert [(row[0], row[1]) for row in stored(data, "items")] == [
        ("i0", "Sock"),
        ("i1", "Green shoe"),
        ("i2", "Blue shoe"),
    ]


def test_importing_the_missing_item_and_the_file_again_mends_an_unknown_item(data: Path) -> None:
    events = write(data.parent / "e.csv", HEADER + b"e,2024-05-01T10:00:00Z,u,view,i3,\n")
    assert import_files(data, [events], now=NOW).events.kept == 0
    items = write(data.parent / "i3.csv", b"item_id,title\ni3,Sock\n")
    assert import_files(data, [events, items], now=NOW).events.kept == 1


def test_an_item_twice_in_one_import_is_kept_once(data: Path) -> None:
    report = import_files(data, [write(data.parent / "i.csv", b"item_id,title\na,One\na,Two\n")], now=NOW)
    assert [p.reason for p in report.problems] == ["duplicate_item_id"]
    assert ("a", "One") in [row[:2] for row in stored(data, "items")]


def test_an_event_without_an_id_is_known_by_its_content(data: Path) -> None:
    bare = b"time,user_id,kind,item_id\n2024-05-01T10:00:00Z,u,view,i1\n2024-05-01T10:00:00Z,u,view,i2\n"
    for file in ("a.csv", "b.csv"):
        import_files(data, [write(data.parent / file, bare)], now=NOW)
    assert len({event[0] for event in stored(data)}) == len(stored(data)) == 2


def test_rows_are_numbered_without_header_and_blank_lines(data: Path) -> None:
    bad = b"e2,never,u,view,i1,\n"
    clean = one_event(data, b"\n\n" + GOOD + b"\n" + bad)
    dirty = one_event(data, b"\n\n" + GOOD + b"\n" + bad + b"\xff,,,,,\n")
    assert quarantined(clean)[0]["row"] == quarantined(dirty)[0]["row"] == 2


def test_a_field_may_hold_line_breaks_quotes_and_delimiters_even_beside_broken_rows(data: Path) -> None:
    query = b'event_id,time,user_id,kind,item_id,query\ns,1714557600,u,search,,"red, ""big""\nshoe"\n'
    for rows in (query, query + b"\xff,,,,,\n", query + b'x,1,"u\n'):
        import_files(data, [write(data.parent / "q.csv", rows)], now=NOW)
        assert stored(data)[0][5] == 'red, "big"\nshoe'


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t", b"|"])
def test_quotes_around_everything_are_understood_with_every_delimiter_even_beside_broken_rows(
    data: Path, delimiter: bytes
) -> None:
    header, good = HEADER.replace(b",", b'","'), GOOD.replace(b",", b'","')
    rows = b"".join(b'"' + row[:-1] + b'"\n' for row in (header, good)) + b'"e2" x,,,,,\n'
    report = import_files(data, [write(data.parent / "q.csv", rows.replace(b",", delimiter))], now=NOW)
    assert [(aside["row"], aside["reason"]) for aside in quarantined(report)] == [(2, "malformed_row")]
    assert [event[0] for event in stored(data)] == ["e1"]


def test_crlf_bom_semicolons_and_capital_headers_are_understood(data: Path) -> None:
    rows = "\ufeffTime;User_ID;Kind;Item_ID\r\n2024-05-01T10:00:00Z;ü;View;i1\r\n".encode()
    assert import_files(data, [write(data.parent / "x.csv", rows)], now=NOW).events.kept == 1
    assert stored(data)[0][2:4] == ("ü", "view")


def test_columns_with_names_of_our_own_do_not_disturb(data: Path) -> None:
    rows = b"rowid,_row,_line,reason,time,user_id,kind,item_id\n9,9,9,9,1714557600,u,view,i1\n9,9,9,9,x,u,view,i1\n"
    line = b'{"rowid": 9, "_row": 9, "_line": 9, "reason": 9, "time": "x", "user_id": 1, "kind": 2, "item_id": 3}\n'
    for name, content, want in (
        ("r.csv", rows, (2, "time_unparsable")),
        ("r.jsonl", line, (1, "unknown_kind")),
    ):
        (aside,) = quarantined(import_files(data, [write(data.parent / name, content)], now=NOW))
        assert (aside["row"], aside["reason"]) == want


def test_a_file_name_is_not_a_pattern(data: Path) -> None:
    file = write(data.parent / "e[1]*'?.csv", HEADER + GOOD)
    write(data.parent / "e1.csv", HEADER + GOOD.replace(b"e1", b"e9"))
    assert import_files(data, [file], now=NOW).events.read == 1


def test_json_lines_keep_their_good_lines(data: Path) -> None:
    good = b'{"time": 1714557600, "user_id": 7, "kind": "view", "item_id": "i1", "value": null}'
    lines = [
        good,
        b"",
        b"[1]",
        b'{"time": }',
        b"\xff",
        b"   ",
        good.replace(b": 7", b': "\\ud800"'),
        b"\x01",
        b"\x00",
    ]
    deep = b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    lines += [deep, b'{"user_id": "' + b"x" * 2_000_000 + b'"}', good.replace(b": 7", b": 8")]
    report = import_files(data, [write(data.parent / "e.jsonl", b"\r\n".join(lines))], now=NOW)
    assert [(aside["row"], aside["reason"]) for aside in quarantined(report)] == [
        (2, "malformed_row"),
        (3, "malformed_row"),
        (4, "invalid_utf8"),
        (5, "malformed_row"),
        (6, "malformed_row"),
        (7, "malformed_row"),
        (8, "malformed_row"),
        (9, "field_too_long"),
    ]
    assert {event[2] for event in stored(data)} == {"7", "8"}


def test_parquet_is_read_with_its_own_types(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "e.parquet"
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'America/New_York'")
        db.execute(f"""COPY (
            SELECT TIMESTAMPTZ '2024-05-01 10:00:00+00' AS time, 7 AS user_id, 'view' AS kind, 'i1' AS item_id,
                   unnest([1.5, 'nan'::DOUBLE]) AS value) TO '{file}' (FORMAT parquet)""")
    report = import_files(data, [file], now=NOW)
    assert [(aside["row"], aside["reason"]) for aside in quarantined(report)] == [(2, "not_finite")]
    assert stored(data)[0][1:3] == (1714557600_000000, "7")


def test_items_are_tidied_and_bad_prices_put_aside(data: Path) -> None:
    rows = b"item_id,title,price\na,A,1e999\nb,B,-1\nc,C,x\nd,D,2\n,E,1\n"
    report = import_files(data, [write(data.parent / "i.csv", rows)], now=NOW)
    assert [aside["reason"] for aside in quarantined(report)] == [
        "not_finite",
        "bad_number",
        "bad_number",
        "missing_value",
    ]
    assert stored(data, "items")[1][3] == "Shoes > Running"


WHOLE_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("e.csv", b"", "is empty"),
    "blank": ("e.csv", b" \n\r\n", "is empty"),
    "blank json": ("e.jsonl", b"\xef\xbb\xbf\n", "is empty"),
    "utf-16": ("e.csv", "time,user_id\n".encode("utf-16"), "UTF-16"),
    "utf-16 without mark": ("e.csv", "time,user_id\n".encode("utf-16-le"), "NUL"),
    "zip": ("e.xlsx", b"PK\x03\x04", "spreadsheet"),
    "no parquet": ("e.parquet", b"time,user_id\n", "not a Parquet file"),
    "cut parquet": ("e.parquet", b"PAR1" + b"\x15" * 64, "cannot be read"),
    "prose": ("e.txt", b"To whom it may concern\n", "no column"),
    "misspelt": ("e.csv", b"time,user_id,kind,itemid\n", "'item_id'.*'itemid'"),
    "no delimiter": ("e.csv", b"time~user_id~kind~item_id\n", "no column"),
    "two columns of a name": ("e.csv", b"time,Time,user_id,kind,item_id\n", "two columns 'time'"),
    "header broken": ("e.csv", b'time,"user_id,kind\n', "header is broken"),
    "header not utf-8": ("e.csv", b"time,\xff\n", "not UTF-8"),
    "old mac": ("e.csv", b"time,user_id\r1,2\r", "carriage return"),
    "json of nothing": ("e.jsonl", b"{}\n{}\n", "no column"),
    "json broken": ("e.jsonl", b"{\n", "ends inside its first object"),
}


@pytest.mark.parametrize("case", list(WHOLE_FILES))
def test_a_file_that_cannot_be_used_is_named_and_nothing_stored_changes(data: Path, case: str) -> None:
    name, content, problem = WHOLE_FILES[case]
    good = write(data.parent / "good.csv", HEADER + GOOD)
    bad = write(data.parent / name, content)
    before = bytes_of(data)
    with pytest.raises(InvalidFile, match=f"(?s){name}.*{problem}"):
        import_files(data, [good, bad], now=NOW)
    assert bytes_of(data) == before
    assert not list(data.glob(".import-*"))


def test_no_file_a_folder_and_an_unknown_format_are_refused(data: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to import"):
        import_files(data, [], now=NOW)
    with pytest.raises(InvalidFile, match="no such file"):
        import_files(data, [data / "missing.csv"], now=NOW)
    with pytest.raises(InvalidFile, match="is a folder"):
        import_files(data, [data], now=NOW)
    with pytest.raises(InvalidFile, match="cannot be opened"):
        import_files(data, [Path("a\x00b.csv")], now=NOW)
    with pytest.raises(InvalidInput, match="not a known format"):
        one_event(data, GOOD, format="excel")


def test_a_header_alone_imports_no_rows(data: Path) -> None:
    for end in (b"", b"\n"):
        report = import_files(data, [write(data.parent / "h.csv", HEADER.strip() + end)], now=NOW)
        assert (report.events.read, report.quarantine) == (0, None)


def test_an_import_killed_while_it_stores_loses_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_event(data, GOOD)
    before = bytes_of(data)
    real: Callable[..., None] = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target).name == "events.parquet":
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        one_event(data, GOOD.replace(b"e1", b"e2"))
    assert bytes_of(data) == before
    monkeypatch.undo()
    assert one_event(data, GOOD.replace(b"e1", b"e2")).events.stored == 2


def test_two_imports_at_once_are_refused_and_leftovers_of_a_killed_one_removed(data: Path) -> None:
    (data / ".import-left").mkdir()
    with ingest.alone(data), pytest.raises(NotReady, match="another import"):
        one_event(data, GOOD)
    assert one_event(data, GOOD).events.kept == 1
    assert not (data / ".import-left").exists()


def test_a_damaged_store_is_named_and_not_overwritten(data: Path) -> None:
    (data / "events.parquet").write_bytes(b"PAR1 no longer")
    with pytest.raises(DamagedArtifact, match=r"events\.parquet"):
        one_event(data, GOOD)
    assert (data / "events.parquet").read_bytes() == b"PAR1 no longer"


def test_complete_journey_columns_become_purchases_and_items(data: Path) -> None:
    t = b"household_id,basket_id,product_id,sales_value,transaction_timestamp\n1,2,3,4.5,2017-01-01 11:53:26\n"
    p = b"product_id,department,brand,product_category,product_type,package_size\n3,GROCERY,Private,ICE,,22 LB\n"
    files = [write(data.parent / "t.csv", t), write(data.parent / "p.csv", p)]
    report = import_files(data, files, format="completejourney", now=NOW)
    assert stored(data) == [("2-3", 1483271606_000000, "1", "purchase", "3", None, 4.5, "2", None, None)]
    item = ("3", "ICE, 22 LB", None, "GROCERY > ICE", "Private", None, None, None)
    assert item in stored(data, "items")
    assert any("UTC" in note for note in report.notes)
