"""`honeyguide prepare`: one command from a shop's files to a clean, labelled data set, and nothing done twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from honeyguide.config import FILE_NAME, Settings
from honeyguide.data import prepare as preparing
from honeyguide.data.clean import clean_once
from honeyguide.data.labels.manifest import load_labels
from honeyguide.shop.workspace import Workspace
from tests.shop_fixture import NOW, START, write_files
from tests.test_cli import PROGRAM, Runner, interruptible

AT = ["--now", NOW.isoformat()]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("COLUMNS", "100")
    return Runner(capsys)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_files(tmp_path, users=6, weeks=20)


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def state(shop: Path) -> dict[str, tuple[int, int]]:
    """Every file of the data folder and when it was written last."""
    files = [path for path in (shop / "data").rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(shop)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def label_rows(shop: Path, name: str) -> int:
    path = shop / "data" / "labels" / f"{name}.parquet"
    with duckdb.connect() as db:
        ((rows,),) = db.execute(f"SELECT count(*) FROM read_parquet('{path}')").fetchall()
    return int(rows)


def test_one_command_leads_from_files_to_labelled_data(
    run: Runner, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    shop = tmp_path / "shop"
    done = run("prepare", shop, *files, "--json", *AT)
    assert (done.code, done.err) == (0, "")
    report = done.json
    assert report["computed"] == ["import", "clean", "label"]
    assert report["imported"]["tables"]["events"]["kept"] == 240
    assert (report["cleaned"]["events_in"], report["cleaned"]["events_out"]) == (240, 240)
    assert report["folder"] == str(shop / "data" / "labels")
    rows = {file["file"]: file["rows"] for file in report["labels"]["files"]}
    assert (rows["interactions.parquet"], rows["negatives.parquet"]) == (240, 960)
    assert rows["item_classes.parquet"] == 48
    assert label_rows(shop, "interactions") == 240
    counts = {count["label"]: count for count in report["labels"]["counts"]}
    assert counts["sentiment"] == {
        "label": "sentiment",
        "count": 0,
        "classes": [["negative", 0], ["neutral", 0], ["positive", 0]],
        "missing": "there are no ratings with a text: import reviews",
    }
    assert Workspace.at(shop).settings == Settings()


def test_a_person_reads_what_there_is_and_where_it_lies(
    run: Runner, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    shop = tmp_path / "shop"
    bad = write_csv(
        tmp_path / "more.csv",
        [
            ["event_id", "time", "user_id", "kind", "item_id", "value"],
            ["x1", START.isoformat(), "user-1", "purchase", "no-such", 1],
            ["x2", (START + timedelta(1)).isoformat(), "user-1", "purchase", "sku-1", 0],
        ],
    )
    text = run("prepare", shop, *files, bad, *AT).out
    for said in (
        "241 of 242 events kept (241 new), 1 put aside; 241 are stored",
        "1 x unknown_item, first:",
        "Cleaned: 240 of 241 events and 48 of 48 items are left",
        "1 events dropped: non_positive_purchase (",
        "reward: 240 (purchase 240)",
        "sentiment: none; there are no ratings with a text: import reviews",
        "Validation from 2026-",
        "240 rows: train ",
        f"Labelled data sets: {shop / 'data' / 'labels'}",
        f"Next: honeyguide fit {shop}",
    ):
        assert said in text
    assert "nothing was computed again" not in text


def test_a_second_run_says_that_nothing_is_new_and_touches_nothing(
    run: Runner, tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    first = run("prepare", shop, *files, "--json", *AT).json
    before = state(shop)
    for step in ("import_files", "write_labels"):
        monkeypatch.setattr(preparing, step, None)  # whoever calls it fails
    monkeypatch.setattr("honeyguide.data.clean.clean", None)
    again = run("prepare", shop, *files, "--json", "--now", "2027-01-01").json
    assert again == {**first, "computed": []}
    text = run("prepare", shop, *files, *AT).out
    assert text.startswith(
        "Nothing is new, and nothing was computed again. What there is:\nImported before:\n"
    )
    without = run("prepare", shop, "--json", *AT).json
    assert without == {**first, "computed": [], "imported": None}
    assert state(shop) == before


def test_a_fit_does_not_clean_again_and_prepare_does_not_after_a_fit(
    run: Runner, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    shop = tmp_path / "shop"
    run("prepare", shop, *files, *AT)
    workspace = Workspace.at(shop)
    assert not clean_once(workspace.data, workspace.settings.clean, now=NOW)[1]  # as fit asks
    other = tmp_path / "other"
    run("init", other)
    run("import", other, *files, *AT)
    clean_once(other / "data", Settings().clean, now=NOW)
    assert run("prepare", other, "--json", *AT).json["computed"] == ["label"]


def test_only_what_is_touched_by_a_change_is_done_again(
    run: Runner, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    shop = tmp_path / "shop"
    settings = shop / FILE_NAME

    def computed(*words: object) -> list[str]:
        found: list[str] = run("prepare", shop, *words, "--json", *AT).json["computed"]
        return found

    assert computed(*files) == ["import", "clean", "label"]
    settings.write_text("[labels]\nnegatives = 2\n")
    assert computed(*files) == ["label"]
    settings.write_text("[labels]\nnegatives = 2\n[clean]\nexclude_categories = ['Shop']\n")
    assert computed(*files) == ["clean", "label"]
    settings.write_text("seed = 3\n[labels]\nnegatives = 2\n")
    assert computed() == ["clean", "label"]
    assert computed(*files) == []
    more = write_csv(
        tmp_path / "more.csv",
        [
            ["time", "user_id", "kind", "item_id"],
            [(START + timedelta(3)).isoformat(), "u", "purchase", "sku-1"],
        ],
    )
    assert computed(more) == ["import", "clean", "label"]
    assert computed(more) == []
    assert computed(*files)[0] == "import"  # since then something else was imported
    (shop / "data" / "labels" / "visits.parquet").write_bytes(b"damaged")
    assert computed() == ["label"]
    assert load_labels(shop / "data").files
    (shop / "data" / "prepared.json").write_text("{")
    assert computed(*files)[0] == "import"
    assert computed(*files) == []


def test_options_are_those_of_import(run: Runner, tmp_path: Path) -> None:
    asked = write_csv(
        tmp_path / "asked.csv", [["utterance", "intent"], *([f"where is {n}", "track"] for n in range(20))]
    )
    words = ["--columns", "text=utterance,intent=intent", "--table", "messages"]
    shop = tmp_path / "shop"
    report = run("prepare", shop, asked, *words, "--json", *AT).json
    assert [file["file"] for file in report["labels"]["files"]] == ["intents.parquet"]
    assert (report["cleaned"], report["computed"]) == (None, ["import", "label"])
    text = run("prepare", shop, asked, *words, *AT).out
    assert "Not cleaned, for that takes both events and items" in text
    assert "Next:" not in text
    zoned = write_csv(
        tmp_path / "zoned.csv",
        [["time", "user_id", "kind", "item_id"], ["2026-02-01 12:00:00", "u", "purchase", "i1"]],
    )
    items = write_csv(tmp_path / "items.csv", [["item_id", "title"], ["i1", "Tea"]])
    report = run("prepare", shop, zoned, items, "--timezone", "Asia/Tokyo", "--json", *AT).json
    assert report["imported"]["tables"]["events"]["kept"] == 1
    report = run("prepare", shop, zoned, items, "--timezone", "Europe/Berlin", "--json", *AT).json
    assert report["computed"][0] == "import"


@pytest.mark.parametrize(
    ("table", "header", "rows", "made"),
    [
        ("items", "item_id,title,category", [f"i{n},t{n},Tea" for n in range(12)], "item_classes"),
        ("messages", "text,intent", [f"where is {n},track" for n in range(12)], "intents"),
        (
            "touches",
            "time,user_id,campaign_id,kind",
            [f"2026-01-{1 + n:02}T00:00:00Z,u{n},c,sent" for n in range(30)],
            "ad_responses",
        ),
    ],
)
def test_a_shop_that_has_but_one_table_gets_what_that_can_give(
    run: Runner, tmp_path: Path, table: str, header: str, rows: list[str], made: str
) -> None:
    path = tmp_path / f"{table}.csv"
    path.write_text("\n".join([header, *rows, ""]))
    columns = ",".join(f"{name}={name}" for name in header.split(","))
    done = run("prepare", tmp_path / "shop", path, "--columns", columns, "--table", table, *AT)
    assert done.code == 0
    assert f"  {made}.parquet" in done.out
    assert "reward: none; there are no events: import a log" in done.out


def test_what_cannot_be_prepared_says_why(run: Runner, tmp_path: Path, files: tuple[Path, Path]) -> None:
    shop = tmp_path / "shop"
    assert "Run: honeyguide init" in run.fails(4, "prepare", shop)
    assert not shop.exists()
    assert "there is no such file" in run.fails(3, "prepare", shop, tmp_path / "none.csv")
    assert "nothing that could be labelled. Run: honeyguide import" in run.fails(4, "prepare", shop)
    assert "is a file: choose a folder" in run.fails(3, "prepare", files[0], files[1])
    assert "choose one of" in run.fails(3, "prepare", shop, *files, "--format", "foo")
    run("prepare", shop, *files, *AT)
    before = state(shop)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"PK\x03\x04 a spreadsheet")
    assert str(bad) in run.fails(3, "prepare", shop, bad)
    assert state(shop) == before
    (shop / FILE_NAME).write_text("[labels]\nvalidation = 0.6\ntest = 0.4\n")
    assert "must leave some for training" in run.fails(3, "prepare", shop)
    (shop / FILE_NAME).write_text("")
    (shop / "data" / "items.parquet").write_bytes(b"PAR1 damaged")
    assert "items.parquet: cannot be read" in run.fails(5, "prepare", shop)


def test_a_folder_that_cannot_be_read_is_bad_input(
    run: Runner, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    shop = tmp_path / "shop"
    run("prepare", shop, *files, *AT)
    labels = shop / "data" / "labels"
    for path in labels.iterdir():
        path.unlink()
    labels.rmdir()
    labels.write_text("mine")
    assert "labels is a file: remove it" in run.fails(3, "prepare", shop)
    labels.unlink()
    (shop / "data" / "clean").rename(shop / "data" / "aside")
    (shop / "data" / "clean").write_text("mine")
    assert "Check the path" in run.fails(3, "prepare", shop)
    os.replace(shop / "data" / "clean", tmp_path / "mine")
    assert run("prepare", shop, "--json", *AT).json["computed"] == ["clean", "label"]


def test_two_at_once_are_refused(run: Runner, tmp_path: Path, files: tuple[Path, Path]) -> None:
    shop = tmp_path / "shop"
    run("prepare", shop, *files, *AT)
    with Workspace.at(shop).alone("prepare"):
        assert "another prepare of" in run.fails(4, "prepare", shop)
    with Workspace.at(shop).alone("fit"):
        assert "another fit of" in run.fails(4, "prepare", shop)


@pytest.mark.slow
def test_a_prepare_that_is_interrupted_or_killed_goes_on(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    files = write_files(tmp_path, users=3000, weeks=20)
    command = [PROGRAM, "prepare", str(shop), *map(str, files), *AT]
    for sent, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = interruptible(command)
        while not list((shop / "data").glob(".labels-*")):
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert not (shop / "data" / "labels").exists()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=True)
    report = json.loads(done.stdout)
    assert report["computed"] == ["label"]  # the rest had been done
    assert report["labels"]["files"][1]["rows"] == 120_000
    assert list((shop / "data").glob(".labels-*")) == []
