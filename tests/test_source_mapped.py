from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.cli.app import main
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.inspect import inspect_files
from honeyguide.data.sources.mapped import mapped
from honeyguide.errors import HoneyguideError, InvalidFile, InvalidInput
from tests.real_data import real_files
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
REVIEWS = """\
Article No,When,"Stars, of 5",Review  Text,Dept
i1,2024-05-01T10:00:00Z,5,Lovely,Shoes
i2,2024-05-01T11:00:00Z,1,"Too small, and late",Hats
"""
ITEMS = "item_id,title\ni1,One\ni2,Two\n"
COLUMNS = (
    """item_id=Article No, time=When, value="Stars, of 5", text=Review Text, kind='rating', user_id=_row"""
)


def import_text(folder: Path, text: str, columns: str, table: str | None = None) -> ImportReport:
    data = folder / "data"
    if not (data / "items.parquet").exists():
        (folder / "items.csv").write_text(ITEMS)
        import_files(data, [folder / "items.csv"], now=NOW)
    (folder / "own.csv").write_text(text)
    return import_files(data, [folder / "own.csv"], columns=columns, table=table, now=NOW)


def test_columns_constants_and_the_row_number_fill_what_they_are_said_to_fill(tmp_path: Path) -> None:
    report = import_text(tmp_path, REVIEWS, COLUMNS)
    assert (report.problems, report.events.kept) == ((), 2)
    first, second = rows_of(tmp_path / "data", "events")
    del first["event_id"], second["event_id"]
    assert first == {
        "time": "2024-05-01 10:00:00+00", "user_id": "1", "kind": "rating", "item_id": "i1", "value": 5.0,
        "text": "Lovely",
    }  # fmt: skip
    assert (second["user_id"], second["text"]) == ("2", "Too small, and late")


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    import_text(tmp_path, REVIEWS, COLUMNS)
    assert import_text(tmp_path, REVIEWS, COLUMNS).events.new == 0


def test_events_may_tell_of_their_items_by_the_way(tmp_path: Path) -> None:
    more = REVIEWS + "n1,2024-05-01T12:00:00Z,3,Fine,Bags\nn1,2024-05-01T12:00:01Z,3,Fine,\n"
    report = import_text(tmp_path, more, f"{COLUMNS},title=Dept,brand='It''s us'")
    assert (report.problems, report.events.kept, report.items.new) == ((), 4, 1)
    items = {row["item_id"]: row for row in rows_of(tmp_path / "data", "items")}
    assert items["n1"] == {"item_id": "n1", "title": "Bags", "brand": "It's us"}
    assert items["i1"]["title"] == "One"


@pytest.mark.parametrize(
    ("columns", "table"),
    [
        ("user_id=a,kind='view',time=b,item_id=c", "events"),
        ("anonymous_id=a,kind='search',time=b,query=c", "events"),
        ("user_id=a,kind='view',time=b,item_id=c,price=d", "events"),
        ("user_id=a,kind='sent',time=b,campaign_id=c", "touches"),
        ("user_id=a,text=b", "messages"),
        ("user_id=a,anonymous_id=b", "identities"),
        ("item_id=a", "items"),
        ("item_id=a,title=b,attributes=c", "items"),
        ("user_id=a", "users"),
    ],
)
def test_the_table_is_found_by_the_columns(columns: str, table: str) -> None:
    (layout,) = mapped(columns).layouts
    assert layout.table == table
    assert mapped(columns, table).layouts == (layout,)


def test_a_table_that_is_named_is_taken(tmp_path: Path) -> None:
    rows = "Who,How old,City\nanna,31,\nben,,Rome\n"
    report = import_text(tmp_path, rows, "user_id=who", table="users")
    assert report.tables["users"].kept == 2
    found = {row["user_id"]: json.loads(row["attributes"]) for row in rows_of(tmp_path / "data", "users")}
    assert found == {"anna": {"how old": "31"}, "ben": {"city": "Rome"}}  # the rest is kept too


@pytest.mark.parametrize(
    ("columns", "table", "said"),
    [
        ("itemid=Article No", None, "Did you mean 'item_id'"),
        ("zzzzzz=Article No", None, "Choose from anonymous_id"),
        ("item_id=Article No,,title=Dept", None, "from ',title=Dept' on"),
        ("item_id=Article No,", None, "from 'item_id=Article No,' on"),
        ("item_id", None, "from 'item_id' on"),
        ("item_id='Article No", None, 'from "item_id=\'Article No" on'),
        ("item_id=Article No,item_id=Dept", None, "'item_id' is given twice"),
        ("item_id='i1',title='One'", None, "names no column of the file"),
        ("", None, "need"),
        ("item_id=Article No,kind='view'", None, "events need user_id and time too"),
        ("user_id=_row,time=When,kind='view',title=Dept", None, "events need item_id too"),
        ("campaign_id=Dept,title=Dept", None, "no table has all of the columns campaign_id, title"),
        ("user_id=Dept,title=Dept", "users", "users have not all of the columns user_id, title"),
        ("user_id=Dept", "people", "'people' is no table: choose one of items"),
        ("user_id=Dept,attributes='a\x00'", None, "NUL"),
    ],
)
def test_columns_that_cannot_be_are_refused_with_what_would_be_right(
    tmp_path: Path, columns: str, table: str | None, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        import_text(tmp_path, REVIEWS, columns, table)
    assert not (tmp_path / "data" / "events.parquet").exists()


def test_a_column_that_the_file_lacks_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"no column 'artikel no'.*nearest column is 'article no'"):
        import_text(tmp_path, REVIEWS, COLUMNS.replace("Article", "Artikel"))


def test_a_format_and_columns_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(REVIEWS)
    files = [tmp_path / "own.csv"]
    with pytest.raises(InvalidInput, match="exclude each other"):
        import_files(tmp_path / "data", files, format="gorse", columns=COLUMNS, now=NOW)
    with pytest.raises(InvalidInput, match="give --columns too"):
        inspect_files(files, table="events", now=NOW)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("i1,yesterday,5,x,y", "time_unparsable"),
        ("i1,2024-05-01T10:00:00,5,x,y", "time_without_zone"),
        ("i1,,5,x,y", "missing_value"),
        ("i1,2024-05-01T10:00:00Z,five,x,y", "bad_number"),
        ("i9,2024-05-01T10:00:00Z,5,x,y", "unknown_item"),
        (",2024-05-01T10:00:00Z,5,x,y", "missing_value"),
    ],
)
def test_a_bad_row_costs_only_itself(tmp_path: Path, row: str, reason: str) -> None:
    report = import_text(tmp_path, f"{REVIEWS}{row}\n", COLUMNS)
    assert (report.events.read, report.events.kept) == (3, 2)
    assert [(p.reason, p.row) for p in report.problems] == [(reason, 3)]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(exit.value.code, int)
    return exit.value.code, out, err


def as_json(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    return json.loads(out)


def test_the_command_line_takes_columns_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, own, items = tmp_path / "shop", tmp_path / "own.csv", tmp_path / "items.csv"
    own.write_text(REVIEWS)
    items.write_text("Nr;Name\ni1;One\ni2;Two\n")
    assert run(capsys, "init", shop)[0] == 0
    named = ["--columns", "item_id=nr,title=name", "--table", "items"]
    assert as_json(capsys, "import", shop, items, *named)["tables"]["items"]["kept"] == 2
    found = as_json(capsys, "validate", own, "--shop", shop, "--columns", COLUMNS)
    assert [(f["format"], f["tables"], f["unused"]) for f in found["findings"]] == [
        ("mapped", ["events"], ["dept"])
    ]
    assert as_json(capsys, "import", shop, own, "--columns", COLUMNS)["tables"]["events"]["kept"] == 2
    code, _, err = run(capsys, "import", shop, own, "--columns", "usr_id=Dept")
    assert (code, "Did you mean 'user_id'?" in err) == (3, True)
    code, _, err = run(capsys, "validate", own, "--columns", COLUMNS, "--table", "nothing")
    assert (code, "is no table" in err) == (3, True)


NAMES = st.sampled_from(
    ["item_id", "user_id", "kind", "time", "title", "text", "anonymous_id", "campaign_id", "x"]
)
VALUES = st.sampled_from(
    ["\x00", "'\udcff'", *"a|b|A |\"b\"|_row|'view'|'sent'|'1714557600'|''|'|a'b|🐝|,".split("|")]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6).map(lambda pairs: ",".join(f"{n}={v}" for n, v in pairs))
)
def test_no_columns_crash_an_import(columns: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = import_text(Path(folder), "a,b\ni1,2\n,\n", columns)
        except InvalidFile as error:
            said = str(error)
        except HoneyguideError:
            return
        else:
            said = ""
            assert all(count.read == count.kept + count.quarantined for count in report.tables.values())
    assert "cannot be read" not in said  # columns may be refused, but the file is a good one


def test_real_reviews_in_columns_of_their_own(tmp_path: Path) -> None:
    files = real_files("womens_clothing_reviews/reviews.parquet")
    columns = "item_id=Clothing ID,text=Review Text,value=Rating,kind='rating',user_id=_row"
    with pytest.raises(InvalidInput, match="events need time too"):  # these reviews have none
        inspect_files(files, columns=columns, now=NOW)
    columns += ",time='2018-01-01T00:00:00Z',title=Class Name,category=Department Name"
    report = import_files(tmp_path, files, columns=columns, now=NOW)
    assert (report.events.read, report.events.kept, report.items.kept) == (23_486, 23_486, 1_206)
    events = rows_of(tmp_path, "events")
    assert events[0]["text"] == "Absolutely wonderful - silky and sexy and comfortable"
    assert (events[0]["item_id"], events[0]["value"], events[-1]["user_id"]) == ("767", 4.0, "23486")
    assert sum("text" in event for event in events) == 22_641
