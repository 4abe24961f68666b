"""The labelled data sets are stored all or not at all, and from whichever tables there are."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from honeyguide.data.columns import Table
from honeyguide.data.database import replace_files
from honeyguide.data.labels import files as writing
from honeyguide.data.labels.files import write_labels
from honeyguide.data.labels.manifest import LabelReport, load_labels
from honeyguide.data.labels.parts import PARTS
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady
from tests.label_tables import store
from tests.labelled_shop import (
    CATEGORIES,
    DAYS,
    ITEMS,
    SETTINGS,
    day_of,
    edges,
    fill,
    read,
    store_items,
)


@pytest.mark.parametrize("broken", ["label_messages", "replace_files"])
def test_what_is_interrupted_before_it_is_through_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    fill(tmp_path, 0)
    report = write_labels(tmp_path, SETTINGS, seed=0)
    before = {path.name: path.read_bytes() for path in (tmp_path / "labels").iterdir()}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, broken, stop)
        with pytest.raises(KeyboardInterrupt):
            write_labels(tmp_path, SETTINGS, seed=1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "labels").iterdir()} == before
    assert load_labels(tmp_path) == report
    assert list(tmp_path.glob(".labels-*")) == []


def test_what_is_killed_while_files_are_moved_is_noticed_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 0)
    write_labels(tmp_path, SETTINGS, seed=0)

    def half(moves: list[tuple[Path, Path]]) -> None:
        replace_files(moves[: len(moves) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, "replace_files", half)
        with pytest.raises(KeyboardInterrupt):
            write_labels(tmp_path, replace(SETTINGS, purchase=0.9), seed=1)
    with pytest.raises(DamagedArtifact, match=r"is not what labels\.json says"):
        load_labels(tmp_path)
    (tmp_path / ".labels-killed").mkdir()
    assert write_labels(tmp_path, SETTINGS, seed=1) == load_labels(tmp_path)
    assert list(tmp_path.glob(".labels-*")) == []


def test_a_label_that_can_no_longer_be_made_goes_with_its_file(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    write_labels(tmp_path, SETTINGS, seed=0)
    (tmp_path / "messages.parquet").unlink()
    report = write_labels(tmp_path, SETTINGS, seed=0)
    assert not (tmp_path / "labels" / "intents.parquet").exists()
    assert next(count for count in report.counts if count.label == "intent").missing
    assert load_labels(tmp_path) == report


def only(folder: Path, table: Table, rows: list[dict[str, Any]]) -> LabelReport:
    store(folder, table, rows)
    return write_labels(folder, SETTINGS, seed=0)


def test_items_alone_have_their_classes(tmp_path: Path) -> None:
    rows = [
        {"item_id": i, "title": "t", "category": c or None} for i, c in zip(ITEMS, CATEGORIES, strict=True)
    ]
    report = only(tmp_path, "items", rows)
    assert [file.file for file in report.files] == ["item_classes.parquet"]
    assert (report.validation_from, report.test_from, report.stars) == (None, None, None)
    assert "reward: none; there are no events: import a log" in str(report)


def test_messages_alone_have_their_intents(tmp_path: Path) -> None:
    asked = [{"message_id": f"m{n}", "text": f"where {n}", "intent": "track"} for n in range(10)]
    report = only(tmp_path, "messages", [*asked, {"message_id": "x", "text": "hello", "intent": "greet"}])
    assert [file.file for file in report.files] == ["intents.parquet"]
    assert "1 messages are left out: fewer than 2 have their intent" in report.notes


def test_touches_alone_are_split_at_their_own_moments(tmp_path: Path) -> None:
    sent = {"campaign_id": "c", "kind": "sent"}
    report = only(
        tmp_path,
        "touches",
        [{**sent, "touch_id": f"t{n}", "user_id": f"u{n}", "time": n} for n in range(0, DAYS + 1, 2)],
    )
    assert (day_of(report.validation_from), day_of(report.test_from)) == pytest.approx((60, 80))
    part = {row[1]: row[-1] for row in read(tmp_path, "ad_responses")}
    days = {name: sorted(int(user[1:]) for user in part if part[user] == name) for name in PARTS}
    # a window of 7 days must be over before the next part begins, and at the last touch
    assert days == {
        "train": [*range(0, 53, 2)],
        "validation": [62, 64, 66, 68, 70, 72],
        "test": [82, 84, 86, 88, 90, 92],
    }
    assert "12 sendings are left out" in " ".join(report.notes)


def test_touches_without_times_are_split_by_chance_and_no_user_is_on_two_sides(tmp_path: Path) -> None:
    rows = [
        {"touch_id": f"{kind}{u}{c}", "user_id": f"u{u:03}", "campaign_id": c, "kind": kind, "time": None}
        for u in range(200)
        for c in "ab"
        for kind in ("sent", *(["redeemed"] if u % 10 == 0 and c == "a" else []))
    ]
    report = only(tmp_path, "touches", rows)
    found = read(tmp_path, "ad_responses")
    sides = {user: {row[-1] for row in found if row[1] == user} for user in {row[1] for row in found}}
    assert all(len(side) == 1 for side in sides.values())
    assert (dict(report.files[0].parts), report.validation_from) == (
        {"train": 240, "validation": 80, "test": 80},
        None,
    )
    redeemed = Counter(row[-1] for row in found if row[6])
    assert redeemed == {"train": 12, "validation": 4, "test": 4}
    assert {row[3] for row in found} == {None}


def test_a_log_of_nothing_but_searches_has_no_interactions(tmp_path: Path) -> None:
    search = {"user_id": "u", "kind": "search", "item_id": None, "query": "boots"}
    report = only(tmp_path, "events", [{**search, "event_id": f"e{n}", "time": n} for n in range(50)])
    assert [file.file for file in report.files] == ["visits.parquet"]
    assert "drawn negatives: none; there must be a rewarded event" in str(report)


def test_an_empty_log_is_no_log(tmp_path: Path) -> None:
    report = only(tmp_path, "events", [])
    assert report.files == ()
    assert all(not count.count and count.missing for count in report.counts)


def test_a_log_of_one_moment_says_that_time_cannot_split_it(tmp_path: Path) -> None:
    store_items(tmp_path)
    bought = {"time": 5, "user_id": "u", "kind": "purchase"}
    report = only(tmp_path, "events", [{**bought, "event_id": f"e{n}", "item_id": f"i{n}"} for n in range(4)])
    (interactions,) = [file for file in report.files if file.file == "interactions.parquet"]
    assert dict(interactions.parts) == {"train": 0, "validation": 0, "test": 4}
    assert [row[-1] for row in read(tmp_path, "interactions")] == ["train", "train", "validation", "test"]
    assert any("one and the same time" in note for note in report.notes)


def test_cleaned_tables_are_labelled_where_there_are_any(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    clean = tmp_path / "clean"
    clean.mkdir()
    store_items(clean)
    store(clean, "events", edges())
    write_labels(tmp_path, SETTINGS, seed=0)
    assert [row[0] for row in read(tmp_path, "interactions")] == ["first", "last"]
    assert len(read(tmp_path, "intents")) == 30


def test_what_cannot_be_labelled_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="nothing that could be labelled"):
        write_labels(tmp_path, SETTINGS, seed=0)
    with pytest.raises(NotReady, match="Run: honeyguide prepare"):
        load_labels(tmp_path)
    store_items(tmp_path)
    (tmp_path / "labels").write_text("mine")
    with pytest.raises(InvalidInput, match="labels is a file: remove it"):
        write_labels(tmp_path, SETTINGS, seed=0)
    (tmp_path / "labels").unlink()
    (tmp_path / "events.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DamagedArtifact, match=r"events\.parquet: cannot be read"):
        write_labels(tmp_path, SETTINGS, seed=0)
    assert list(tmp_path.glob(".labels-*")) == []
    (tmp_path / "events.parquet").unlink()
    write_labels(tmp_path, SETTINGS, seed=0)
    (tmp_path / "labels" / "labels.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"labels\.json"):
        load_labels(tmp_path)


def test_labelling_loads_no_pandas(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    code = (
        "import sys; from pathlib import Path; from honeyguide.config import Labels; "
        "from honeyguide.data.labels.files import write_labels; "
        "write_labels(Path(sys.argv[1]), Labels(window_days=7), seed=0); "
        "assert not {'pandas', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
