from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.inspect import inspect_files
from honeyguide.errors import InvalidFile
from tests.real_data import real_files
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HEADER = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n"
)
ROWS = """\
10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0
6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99
7,"7) $1,000 +",1180.45,0,1,Urban,1,Multichannel,Mens E-Mail,1,0,0
"""
MENS, WOMENS = "Mens E-Mail", "Womens E-Mail"


def import_text(folder: Path, text: str, name: str = "email.csv") -> ImportReport:
    (folder / name).write_text(text)
    return import_files(folder / "data", [folder / name], now=NOW)


def test_a_row_becomes_a_user_and_what_the_campaigns_did(tmp_path: Path) -> None:
    report = import_text(tmp_path, HEADER + ROWS)
    assert report.problems == ()
    users = {row["user_id"]: json.loads(row["attributes"]) for row in rows_of(tmp_path / "data", "users")}
    assert users.keys() == {"hillstrom-1", "hillstrom-2", "hillstrom-3"}
    assert users["hillstrom-3"] == {
        "recency": "7", "history_segment": "7) $1,000 +", "history": "1180.45", "mens": "0", "womens": "1",
        "zip_code": "Urban", "newbie": "1", "channel": "Multichannel",
    }  # fmt: skip
    touches = rows_of(tmp_path / "data", "touches")
    found = {
        (t["user_id"][-1], t["campaign_id"], t["kind"], t.get("value"), t.get("propensity")) for t in touches
    }
    assert found == {
        ("1", WOMENS, "sent", None, 0.5),
        ("2", MENS, "withheld", None, 0.5),  # the control group is the control of both
        ("2", MENS, "visit", None, None),
        ("2", MENS, "redeemed", 29.99, None),
        ("2", WOMENS, "withheld", None, 0.5),
        ("2", WOMENS, "visit", None, None),
        ("2", WOMENS, "redeemed", 29.99, None),
        ("3", MENS, "sent", None, 0.5),
        ("3", MENS, "visit", None, None),
    }  # fmt: skip
    assert len({touch["touch_id"] for touch in touches}) == len(touches) == 9
    assert any("control of both campaigns" in note for note in report.notes)


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    import_text(tmp_path, HEADER + ROWS)
    report = import_text(tmp_path, HEADER + ROWS)
    assert [(report.tables[t].new, report.tables[t].stored) for t in ("users", "touches")] == [(0, 3), (0, 9)]


def test_json_lines_and_parquet_tell_the_same(tmp_path: Path) -> None:
    import_text(tmp_path, HEADER + ROWS)
    expected = rows_of(tmp_path / "data", "touches"), rows_of(tmp_path / "data", "users")
    for name, options in (("email.jsonl", "FORMAT json"), ("email.parquet", "FORMAT parquet")):
        with duckdb.connect() as db:
            db.execute(f"COPY (FROM '{tmp_path}/email.csv') TO '{tmp_path}/{name}' ({options})")
        import_files(tmp_path / name[6:], [tmp_path / name], now=NOW)
        assert (rows_of(tmp_path / name[6:], "touches"), rows_of(tmp_path / name[6:], "users")) == expected


@pytest.mark.parametrize(
    ("end", "kept", "reason", "said"),
    [
        ("Catalogue,1,0,0", 0, "unknown_kind", "'Catalogue'"),  # an arm the experiment does not have
        (",1,0,0", 0, "missing_value", "campaign_id is empty"),
        ("Mens E-Mail,maybe,0,0", 1, "bad_number", "'visit maybe'"),
        ("Mens E-Mail,1,2,0", 2, "bad_number", "'conversion 2'"),
        ("Mens E-Mail,1,1,much", 2, "bad_number", "'much'"),
        ("Mens E-Mail,1,1,inf", 2, "not_finite", "'inf'"),
    ],
)
def test_a_bad_field_costs_only_what_it_tells(
    tmp_path: Path, end: str, kept: int, reason: str, said: str
) -> None:
    report = import_text(tmp_path, f"{HEADER}{ROWS}1,1) $0 - $100,29.99,1,0,Urban,0,Web,{end}\n")
    assert (report.tables["touches"].kept, report.tables["touches"].quarantined) == (9 + kept, 1)
    (problem,) = report.problems
    assert (problem.reason, problem.row) == (reason, 4)
    assert said in problem.message


def test_a_broken_line_is_no_user(tmp_path: Path) -> None:
    good = dict(
        zip(HEADER.strip().split(","), "1,s,2,0,0,Urban,0,Web,mens e-mail,0,0,0".split(","), strict=True)
    )
    report = import_text(tmp_path, f"{json.dumps(good)}\n{{broken\n", "email.jsonl")
    assert [row["user_id"] for row in rows_of(tmp_path / "data", "users")] == ["hillstrom-1"]
    assert [(p.reason, p.row) for p in report.problems] == [("malformed_row", 2)]


def test_an_experiment_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no column 'spend'"):
        import_text(tmp_path, HEADER.replace("spend", "dollars") + ROWS)


FIELDS = st.sampled_from(
    ["0", "1", "1.0", "-1", "true", "", "nan", "Mens E-Mail", "NO E-MAIL ", "x'y", '"', "🐝", "\x00"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(FIELDS, min_size=11, max_size=13), max_size=6))
def test_no_rows_crash_an_import_and_none_gets_lost(rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        report = import_text(Path(folder), HEADER + ROWS + text.getvalue())
        for count in report.tables.values():
            assert count.read == count.kept + count.quarantined
        assert report.tables["touches"].read >= 9


def test_the_experiment_is_read_and_its_uplift_is_the_published_kind(tmp_path: Path) -> None:
    files = real_files("hillstrom/email.parquet")
    found = inspect_files(files, now=NOW)
    assert found.ok
    # 14,969 and 14,961 sent, 14,870 withheld from each; visits 2,692, 2,271 and 2 x 1,581; orders 199, 131 and 2 x 87
    assert (found.tables["users"].good, found.tables["touches"].good) == (44_800, 68_299)
    import_files(tmp_path, files, now=NOW)
    with duckdb.connect() as db:
        uplift = db.execute(f"""
            SELECT campaign_id, count(*) FILTER (kind = 'sent'), count(*) FILTER (kind = 'withheld'),
                   avg(visited) FILTER (kind = 'sent') - avg(visited) FILTER (kind = 'withheld'),
                   avg(spent) FILTER (kind = 'sent') - avg(spent) FILTER (kind = 'withheld')
            FROM (SELECT campaign_id, user_id, kind FROM '{tmp_path}/touches.parquet' WHERE propensity = 0.5)
            JOIN (SELECT campaign_id, user_id, count(*) FILTER (kind = 'visit') AS visited,
                         coalesce(sum(value) FILTER (kind = 'redeemed'), 0) AS spent
                  FROM '{tmp_path}/touches.parquet' GROUP BY ALL) USING (campaign_id, user_id)
            GROUP BY 1 ORDER BY 1""").fetchall()
    assert [row[:3] for row in uplift] == [(MENS, 14_969, 14_870), (WOMENS, 14_961, 14_870)]
    visits = [2_692 / 14_969 - 1_581 / 14_870, 2_271 / 14_961 - 1_581 / 14_870]
    spending = [22_456.01 / 14_969 - 9_919.65 / 14_870, 16_399.80 / 14_961 - 9_919.65 / 14_870]
    assert [row[3] for row in uplift] == pytest.approx(visits)
    assert [row[4] for row in uplift] == pytest.approx(spending)
