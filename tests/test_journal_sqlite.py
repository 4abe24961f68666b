"""What only the file can get wrong: traces of the erased, foreign and damaged files, failing disks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from honeyguide.checks.journal import sample_decision, sample_entries
from honeyguide.checks.journal_samples import TIME
from honeyguide.errors import InvalidInput, JournalError
from honeyguide.journal import schema
from honeyguide.journal.protocol import Counts
from honeyguide.journal.sqlite import SqliteJournal
from tests.journal_tally import busy_day, new_learner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path)
    yield journal
    journal.close()


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def test_no_byte_of_an_erased_user_is_left(journal: SqliteJournal, path: Path) -> None:
    users = [f"shopper-{number:02d}-of-the-test" for number in range(12)]
    journal.append(busy_day(users))
    learner = new_learner()
    for user in users:
        learner.catch_up(journal)
        journal.save_state(learner.offset, learner.state())
        assert user.encode() in on_disk(path)
        journal.erase(user)
        learner.erase(user)
        assert user.encode() not in on_disk(path)
    counts = journal.counts()
    assert counts == Counts(0, 0, journal.end())


def test_no_byte_of_what_was_dropped_is_left(journal: SqliteJournal, path: Path) -> None:
    old, young = "shopper-of-old", "shopper-of-late"
    journal.append(busy_day([old]))
    later = timedelta(days=400)
    last = journal.end()
    journal.append([replace(sample_decision(number, young), time=TIME + later) for number in range(600, 700)])
    learner = new_learner()
    learner.catch_up(journal)
    journal.save_state(learner.offset, learner.state())
    learner = learner.without_pages(TIME + later, journal)
    learner.erase(old)
    dropped = journal.drop(TIME + later, kept=(learner.offset, learner.state()))
    assert dropped.decisions + dropped.events == last
    assert old.encode() not in on_disk(path)
    assert young.encode() in on_disk(path)


def test_an_erasure_that_a_crash_cut_short_is_finished_on_opening(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.append(busy_day(["shopper-one", "shopper-two"]))
    with journal._writing():
        journal._remove("shopper-one")
    assert b"shopper-one" in on_disk(path)
    again = SqliteJournal(path)
    assert b"shopper-one" not in on_disk(path)
    assert b"shopper-two" in on_disk(path)
    again.close()
    journal.close()


def test_an_erasure_says_when_a_reader_keeps_the_log_alive_and_can_be_finished(path: Path) -> None:
    journal = SqliteJournal(path, busy_timeout_s=0.05)
    journal.append(busy_day(["shopper-one", "shopper-two"]))
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchall()
    with pytest.raises(JournalError, match="try again"):
        journal.erase("shopper-one")
    reader.execute("COMMIT")
    journal.erase("shopper-one")
    assert b"shopper-one" not in on_disk(path)
    assert journal.read()
    journal.close()
    reader.close()


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"Dear diary, " * 100)
    foreign = tmp_path / "foreign.db"
    connection = apsw.Connection(str(foreign))
    connection.execute("CREATE TABLE cookies (x)")
    connection.close()
    for file, problem in ((text, "not a journal"), (foreign, "another program")):
        before = file.read_bytes()
        with pytest.raises(JournalError, match=problem):
            SqliteJournal(file)
        assert file.read_bytes() == before


def test_an_older_schema_is_brought_up_to_date_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteJournal(path)) as old:
        old.append(sample_entries())
    added = "CREATE TABLE more (x INTEGER); INSERT INTO more VALUES (1)"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, added))
    with ThreadPoolExecutor(4) as pool:
        journals = list(pool.map(SqliteJournal, [path] * 4))
    assert all(len(journal.read()) == len(sample_entries()) for journal in journals)
    for journal in journals:
        journal.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    SqliteJournal(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="Upgrade"):
        SqliteJournal(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="folder"):
        SqliteJournal(tmp_path / "nowhere" / "journal.db")


def test_a_closed_journal_says_so(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="open it again"):
        journal.end()


def test_a_damaged_entry_is_refused(journal: SqliteJournal) -> None:
    journal.append([sample_decision(0)])
    journal._connection.execute("UPDATE entries SET body = substr(body, 1, 100)")
    with pytest.raises(JournalError, match="damaged"):
        journal.read()
    blob = SqliteJournal(":memory:")
    blob.append(sample_entries())
    swap = "UPDATE entries SET body = (SELECT body FROM entries WHERE kind = 2 LIMIT 1) WHERE kind = 1"
    blob._connection.execute(swap)
    with pytest.raises(JournalError, match="damaged"):
        blob.decision("decision-0")
    blob.close()


def test_an_id_that_is_no_text_is_refused(journal: SqliteJournal) -> None:
    with pytest.raises(InvalidInput, match="Unicode"):
        journal.decision("\ud800")


def test_a_full_disk_loses_nothing_that_was_there(journal: SqliteJournal) -> None:
    journal.append(sample_entries())
    before = journal.end()
    pages = journal._connection.execute("PRAGMA page_count").fetchall()[0][0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalError, match="free some space"):
        journal.append([sample_decision(number) for number in range(100, 200)])
    assert journal.end() == before
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    assert journal.append([sample_decision(number) for number in range(100, 200)]) == 100


class FailingFile(apsw.VFSFile):
    def __init__(self, disk: "FailingDisk", name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(disk.base, name, flags)
        self.disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.use()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.use()
        super().xSync(flags)


class FailingDisk(apsw.VFS):
    """A disk that fails after so many writes and syncs."""

    def __init__(self) -> None:
        self.left = 10**9
        self.base = apsw.vfs_names()[0]
        super().__init__("failing", self.base, makedefault=True)

    def use(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise apsw.IOError("the disk is gone")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return FailingFile(self, name, flags)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    disk = FailingDisk()
    try:
        yield disk
    finally:
        disk.unregister()


@pytest.mark.parametrize("left", range(0, 14))
def test_a_disk_that_fails_at_any_write_loses_nothing_that_was_acknowledged(path: Path, left: int) -> None:
    with failing_disk() as disk:
        journal = SqliteJournal(path)
        journal.append([sample_decision(0)])
        disk.left = left
        acknowledged = 1
        for number in range(1, 4):
            try:
                acknowledged += journal.append([sample_decision(number)])
            except JournalError:
                break
        failed = disk.left < 0
        disk.left = 10**9
        journal.close()
    assert failed == (acknowledged < 4)
    again = SqliteJournal(path)
    found = [record.offset for record in again.read()]
    assert len(found) in (acknowledged, acknowledged + 1)  # the one that failed may have reached the disk
    assert again.append([sample_decision(number) for number in range(4)]) == 4 - len(found)
    again.close()
