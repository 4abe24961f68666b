"""An export is all or nothing, and takes away nothing that it did not write."""

from __future__ import annotations

import errno
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from honeyguide import Honeyguide
from honeyguide.errors import DamagedArtifact, InvalidFile, InvalidInput, NotReady
from honeyguide.export import known
from honeyguide.export.exporter import Exporter, ExportReport, Needs, Source
from honeyguide.export.known import EXPORTERS
from honeyguide.export.shop import export_shop
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Progress
from tests.export_fixture import NOW, log_pages, make_shop, make_shop_with_events
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW as LATER
from tests.shop_fixture import SPLIT

NAMES = [exporter.name for exporter in EXPORTERS]
IN_FOLDERS = [exporter.name for exporter in EXPORTERS if exporter.folder]
IN_FILES = [exporter.name for exporter in EXPORTERS if not exporter.folder]
PAGE = Path(__file__).parent.parent / "docs" / "exports.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_shop_with_events(tmp_path_factory.mktemp("exports"))
    log_pages(workspace, 10, k=3)
    return workspace


@pytest.fixture
def shop(made: Workspace, tmp_path: Path) -> Workspace:
    return Workspace.at(shutil.copytree(made.root, tmp_path / "shop"))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_export_can_be_made_again_and_leaves_nothing_but_itself(
    shop: Workspace, name: str, tmp_path: Path
) -> None:
    place = tmp_path / "new" / "place"
    first = export_shop(shop, name, place / "out", now=NOW)
    bytes_of_first = everything_in(place)
    again = export_shop(shop, name, place / "out", now=NOW)
    assert again == first
    assert list(bytes_of_first) == sorted(
        f"out/{file.name}" if name in IN_FOLDERS else file.name for file in first.files
    )
    assert list(everything_in(place)) == list(bytes_of_first)
    assert first.out == place / "out"
    assert all(file.rows > 0 for file in first.files)


@pytest.mark.parametrize("name", NAMES)
def test_equal_data_gives_equal_files(shop: Workspace, name: str, tmp_path: Path) -> None:
    export_shop(shop, name, tmp_path / "a" / "out", now=NOW)
    export_shop(shop, name, tmp_path / "b" / "out", now=NOW)
    assert everything_in(tmp_path / "a") == everything_in(tmp_path / "b")


@pytest.mark.parametrize("name", IN_FILES)
def test_a_file_that_somebody_else_wrote_is_kept(shop: Workspace, name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(InvalidInput, match="already there"):
        export_shop(shop, name, out, now=NOW)
    assert out.read_text() == "mine"
    export_shop(shop, name, out, now=NOW, overwrite=True)
    assert out.read_bytes() != b"mine"


def test_a_file_that_was_changed_since_it_was_exported_is_kept(shop: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_shop(shop, "dsjson", out, now=NOW)
    out.write_text("mine now")
    with pytest.raises(InvalidInput, match="was changed since"):
        export_shop(shop, "dsjson", out, now=NOW)
    assert out.read_text() == "mine now"


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_a_folder_with_other_files_is_refused_and_they_survive_overwriting(
    shop: Workspace, name: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"mine\.txt is already there"):
        export_shop(shop, name, out, now=NOW)
    assert everything_in(out) == {"mine.txt": b"mine"}
    report = export_shop(shop, name, out, now=NOW, overwrite=True)
    assert set(everything_in(out)) == {"mine.txt", *(file.name for file in report.files)}
    assert (out / "mine.txt").read_text() == "mine"


def test_what_a_later_export_no_longer_has_is_removed(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "canonical", tmp_path / "out", now=NOW)
    (shop.data / "users.parquet").unlink()
    export_shop(shop, "canonical", tmp_path / "out", now=NOW)
    assert sorted(everything_in(tmp_path / "out")) == ["events.parquet", "items.parquet"]


def test_without_the_cache_every_file_is_somebody_elses(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "dsjson", tmp_path / "out", now=NOW)
    (shop.cache / "exports.json").write_text("{damaged")
    with pytest.raises(InvalidInput, match="already there"):
        export_shop(shop, "dsjson", tmp_path / "out", now=NOW)


def test_a_file_is_no_place_for_a_folder_nor_a_folder_for_a_file(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for overwrite in (False, True):
        with pytest.raises(InvalidInput, match="is a file"):
            export_shop(shop, "recbole", tmp_path / "file", now=NOW, overwrite=overwrite)
        with pytest.raises(InvalidInput, match="is a folder"):
            export_shop(shop, "obp", tmp_path / "folder", now=NOW, overwrite=overwrite)


OWN = [
    "",
    "journal.db",
    "journal.db-wal",
    ".fit.lock",
    "honeyguide.toml",
    "data/x",
    "models",
    "cache/../data",
]


@pytest.mark.parametrize("place", OWN)
def test_what_the_shop_lives_from_is_never_written_over(shop: Workspace, place: str) -> None:
    before = everything_in(shop.root)
    with pytest.raises(InvalidInput, match="belongs to the shop itself"):
        export_shop(shop, "dsjson", shop.root / place, now=NOW, overwrite=True)
    assert everything_in(shop.root) == before


def test_an_unknown_format_names_all_there_are(shop: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'dsjsn' is not a format") as caught:
        export_shop(shop, "dsjsn", tmp_path / "out", now=NOW)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda exporter: str(exporter.name))
def test_a_shop_without_what_the_format_needs_says_what_to_run(exporter: Exporter, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path)
    command = {"decisions": "honeyguide decide", "events": "honeyguide import"}[exporter.needs]
    with pytest.raises(NotReady, match=command):
        export_shop(workspace, exporter.name, tmp_path / "out", now=NOW)
    assert not (tmp_path / "out").exists()
    assert not workspace.journal.exists()


class _Breaks:
    """Writes a part, and then the disk fails."""

    name = "breaks"
    needs: Needs = "events"

    def __init__(self, error: Exception, *, folder: bool) -> None:
        self.error = error
        self.folder = folder

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        part = target / "part" if self.folder else target
        part.write_text("half")
        raise self.error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FULL_IN_DUCKDB = duckdb.IOException('IO Error: Could not write file "x": No space left on device')


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "the disk is full"),
        (FULL_IN_DUCKDB, "the disk is full"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (duckdb.IOException("IO Error: gone"), "gone"),
    ],
)
def test_when_the_disk_fails_the_last_export_is_still_there(
    shop: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    said: str,
    folder: bool,
) -> None:
    out = tmp_path / "place" / "out"
    export_shop(shop, "canonical" if folder else "dsjson", out, now=NOW)
    before = everything_in(out.parent)
    monkeypatch.setattr(known, "EXPORTERS", (_Breaks(error, folder=folder),))
    with pytest.raises(InvalidFile, match=said) as caught:
        export_shop(shop, "breaks", out, now=NOW)
    assert caught.value.path == str(out)
    assert everything_in(out.parent) == before


def test_a_place_that_cannot_be_is_refused_in_words(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("dsjson", "recbole"):
        with pytest.raises(InvalidFile, match="the export failed"):
            export_shop(shop, name, tmp_path / "file" / "out", now=NOW)


def test_an_empty_folder_is_filled(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    report = export_shop(shop, "recbole", tmp_path / "out", now=NOW)
    assert set(everything_in(tmp_path / "out")) == {file.name for file in report.files}


def test_a_damaged_table_is_not_taken_for_a_full_disk(shop: Workspace, tmp_path: Path) -> None:
    shop.events.write_bytes(b"not parquet")
    with pytest.raises(DamagedArtifact, match=r"events\.parquet"):
        export_shop(shop, "recbole", tmp_path / "out", now=NOW)


def test_two_exports_of_a_shop_do_not_run_at_once(shop: Workspace, tmp_path: Path) -> None:
    with shop.alone("export"), pytest.raises(NotReady, match="another export"):
        export_shop(shop, "dsjson", tmp_path / "out", now=NOW)


def test_the_report_says_in_words_what_was_left_out(shop: Workspace, tmp_path: Path) -> None:
    text = str(export_shop(shop, "recbole", tmp_path / "out", now=NOW))
    counts = "5 rows in out.item, 7 rows in out.inter, 2 rows in out.user"
    assert text.splitlines()[0] == f"recbole: {counts} ({tmp_path / 'out'})"
    assert "  1 left out: events about no item (searches)" in text


def test_what_a_served_shop_decided_and_learned_can_be_exported(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    workspace = Workspace.at(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path))
    with Honeyguide.open(workspace.root) as opened:
        for user in range(5):
            decision = opened.decide(f"user-{user}", k=4, now=SPLIT)
            opened.feedback(
                decision.decision_id, decision.item_ids[1], "purchase", now=SPLIT + timedelta(days=1)
            )
    rows = {name: export_shop(workspace, name, tmp_path / name, now=LATER).files[-1].rows for name in NAMES}
    assert {rows[name] for name in IN_FILES} == {20}
    assert rows["canonical"] == rows["recbole"] > 0


def test_every_format_is_documented() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)) == set(NAMES)
