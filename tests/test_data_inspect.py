from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from honeyguide.data.ingest import import_files
from honeyguide.data.inspect import inspect_files
from honeyguide.errors import InvalidInput

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = "item_id,title,colour\ni1,One,red\ni2,Two,\n"
HEAD = "time,user_id,kind,item_id,value,currency\n"


def write(folder: Path, **files: str) -> list[Path]:
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return [folder / f"{name}.csv" for name in files]


def test_it_tells_what_an_import_would_do_and_stores_nothing(tmp_path: Path) -> None:
    rows = "2024-05-01T10:00:00Z,u,view,i1,,\n2024-05-02T10:00:00Z,v,purchase,i2,5,usd\nnever,u,view,i1,,\n"
    files = write(tmp_path, items=ITEMS, events=HEAD + rows)
    found = inspect_files(files, now=NOW)
    report = import_files(tmp_path / "data", files, now=NOW)
    assert found.problems == report.problems
    assert {t: (f.good, f.bad) for t, f in found.tables.items()} == {
        t: (c.kept, c.quarantined) for t, c in report.tables.items() if c.read
    }
    assert not found.ok
    said = str(found)
    assert "from 2024-05-01 10:00 to 2024-05-02 10:00 UTC, 2 users, 2 items" in said
    assert "kinds: purchase 1, view 1" in said or "kinds: view 1, purchase 1" in said
    assert "currencies: USD 1" in said
    assert "write it like 2026-11-23T10:00:00+00:00" in said
    items, events = found.findings
    assert (items.format, items.tables, items.filled, items.unused) == (
        "canonical", ("items",), ("item_id", "title"), ("colour",),
    )  # fmt: skip
    assert events.filled == ("time", "user_id", "kind", "item_id", "value", "currency")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "events.csv", "items.csv"]


def test_a_file_that_cannot_be_used_does_not_hide_what_is_in_the_others(tmp_path: Path) -> None:
    good, prose, blank = write(tmp_path, good=ITEMS, prose="Dear all,\nhello\n", blank="")
    found = inspect_files([prose, good, blank], now=NOW)
    assert {(refusal.file, bool(refusal.remedy)) for refusal in found.refused} == {
        (str(prose), True),
        (str(blank), True),
    }
    assert found.tables["items"].good == 2
    assert not found.ok


def test_only_bad_files_still_give_an_answer(tmp_path: Path) -> None:
    found = inspect_files([*write(tmp_path, blank=""), tmp_path / "missing.csv"], now=NOW)
    assert [refusal.problem for refusal in found.refused] == ["is empty", "there is no such file"]
    assert not found.tables


def test_the_items_of_a_shop_count_as_known(tmp_path: Path) -> None:
    items, events = write(tmp_path, items=ITEMS, events=HEAD + "1714557600,u,view,i1,,\n")
    import_files(tmp_path / "data", [items], now=NOW)
    assert [p.reason for p in inspect_files([events], now=NOW).problems] == ["unknown_item"]
    assert inspect_files([events], stored=tmp_path / "data", now=NOW).ok


@pytest.mark.parametrize(
    ("rows", "items", "words"),
    [
        ("1714557600,u,view,i1,,\n", True, "few"),
        ("1714557600,u,view,i1,,\n", False, "no catalogue"),
        ("1714557600,u,view,i1,,\n", True, "no purchases"),
        ("1714557600,u,view,i1,,\n", True, "no impressions"),
        ("2024-05-01T00:00:00Z,u,view,i1,,\n", True, "midnight"),
        ("1714557600,u,view,i1,,\n", True, "neither a category nor a description"),
        (
            "".join(f"{1714557600 + i},{'robot' if i % 2 else f'u{i % 60}'},view,i1,,\n" for i in range(200)),
            True,
            "user 'robot' alone",
        ),
    ],
)
def test_it_advises_where_the_data_could_be_better(
    tmp_path: Path, rows: str, items: bool, words: str
) -> None:
    files = write(tmp_path, events=HEAD + rows, **({"items": ITEMS} if items else {}))
    assert any(words in advice for advice in inspect_files(files, now=NOW).advice)


def test_nothing_to_look_at_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to look at"):
        inspect_files([], now=NOW)
