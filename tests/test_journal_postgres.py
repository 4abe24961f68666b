"""What only a server can get wrong: being away, crashing, racing starts, other tenants, and traces of the erased."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from honeyguide.checks.journal import journal_entries, sample_decision, sample_entries, sample_feedback
from honeyguide.checks.journal_samples import TIME
from honeyguide.checks.policy import equal_states
from honeyguide.config import Journal
from honeyguide.errors import InvalidInput, InvalidSettings, JournalError, MissingExtra
from honeyguide.journal.move import copy_journal
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts, Erasure, subject_of
from honeyguide.journal.sqlite import SqliteJournal
from tests.journal_tally import busy_day, new_learner

if TYPE_CHECKING:
    from honeyguide.journal.postgres import PostgresJournal
    from tests.postgres_server import PostgresServer

SECRET = "sw0rdfish"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url()


@pytest.fixture
def journal(url: str) -> Iterator[PostgresJournal]:
    with opened(url) as journal:
        yield journal


@contextmanager
def opened(url: str, *, timeout_s: float = 10.0) -> Iterator[PostgresJournal]:
    from honeyguide.journal.postgres import PostgresJournal

    with closing(PostgresJournal(url, timeout_s=timeout_s)) as journal:
        yield journal


def schema_of(url: str) -> str:
    return url.rpartition("=")[2]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_two_shops_in_one_database_see_nothing_of_each_other(postgres: PostgresServer) -> None:
    with opened(postgres.url()) as mine, opened(postgres.url()) as other:
        mine.append(sample_entries())
        other.append([sample_decision(0, "bob")])
        assert mine.erase("bob") == Erasure(3, 3)
        assert other.counts() == Counts(1, 0, 0)
        assert other.append([sample_decision(1)]) == 1  # nor is it told of the other's erasure
        assert len(other.read()) == 2


def test_processes_that_start_at_once_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        journals = list(pool.map(open_journal, [url] * 8))
    assert sum(journal.append([sample_decision(0)]) for journal in journals) == 1
    for journal in journals:
        journal.close()


def test_an_older_schema_is_brought_up_to_date_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url) as old:
        old.append(sample_entries())
    from honeyguide.journal import postgres_schema

    added = "CREATE TABLE more (x integer); INSERT INTO more VALUES (1)"
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS, added))
    with ThreadPoolExecutor(4) as pool:
        journals = list(pool.map(open_journal, [url] * 4))
    assert all(len(journal.read()) == len(sample_entries()) for journal in journals)
    for journal in journals:
        journal.close()


def test_a_role_needs_the_schema_and_nothing_else(postgres: PostgresServer) -> None:
    mine, none = postgres.url(), postgres.url()
    with postgres.connect() as look:
        look.execute("CREATE ROLE guest LOGIN")
        look.execute(f"CREATE SCHEMA {schema_of(mine)} AUTHORIZATION guest".encode())
    with opened(mine.replace("postgres@", "guest@")) as journal:
        journal.append(sample_entries())
        journal.erase("bob")
    with pytest.raises(JournalError, match="own the schema"):
        open_journal(none.replace("postgres@", "guest@"))


def test_a_newer_schema_and_another_programs_are_refused(postgres: PostgresServer) -> None:
    newer, foreign = postgres.url(), postgres.url()
    with opened(newer), postgres.connect() as look:
        look.execute(f"UPDATE {schema_of(newer)}.schema_version SET version = 99".encode())
        look.execute(f"CREATE SCHEMA {schema_of(foreign)} CREATE TABLE cookies (x int)".encode())
    for url, problem in ((newer, "Upgrade"), (foreign, "another program")):
        with pytest.raises(JournalError, match=problem):
            open_journal(url)


def test_a_writer_waits_for_another_and_then_says_so(postgres: PostgresServer, url: str) -> None:
    open_journal(url).close()
    with opened(url, timeout_s=0.5) as journal, postgres.connect() as other:
        other.execute("BEGIN")
        other.execute(f"SELECT FROM {schema_of(url)}.journal FOR UPDATE".encode())
        with pytest.raises(JournalError, match="another process"):
            journal.append([sample_decision(0)])
        other.execute("ROLLBACK")
        assert journal.append([sample_decision(0)]) == 1


def test_a_closed_journal_says_so(url: str) -> None:
    with opened(url) as journal:
        journal.close()
        with pytest.raises(JournalError, match="open it again"):
            journal.end()


def test_ids_of_any_length_and_characters_are_taken(journal: PostgresJournal) -> None:
    for number, user in enumerate(("x" * 100_000, "nul\0", "🍯", "İ")):
        decision = sample_decision(number, user)
        assert journal.append([decision, sample_feedback(decision, 0)]) == 2
        assert journal.erase(user) == Erasure(1, 1)
    with pytest.raises(InvalidInput, match="Unicode"):
        journal.decision("\ud800")


def test_a_journal_can_be_moved_and_the_moving_repeated(url: str, tmp_path: Path) -> None:
    users = [f"shopper-{number}" for number in range(5)]
    with (
        closing(open_journal(tmp_path / "old.db")) as old,
        closing(open_journal(url)) as new,
        closing(open_journal(tmp_path / "again.db")) as again,
    ):
        count = old.append(busy_day(users))
        assert copy_journal(old, new) == count > 1000
        assert copy_journal(old, new) == 0
        assert copy_journal(new, again) == count
        learners = [new_learner() for _ in range(3)]
        for learner, journal in zip(learners, (old, new, again), strict=True):
            learner.catch_up(journal)
        assert equal_states(learners[0].state(), learners[1].state())
        assert equal_states(learners[0].state(), learners[2].state())
        old.erase(users[0])
        new.erase(users[0])
        assert copy_journal(old, new) == 0


def test_a_damaged_entry_is_refused(postgres: PostgresServer, url: str) -> None:
    with opened(url) as journal, postgres.connect() as look:
        journal.append(sample_entries())
        table = f"{schema_of(url)}.entries"
        event = f"(SELECT body FROM {table} WHERE kind = 2 LIMIT 1)"
        look.execute(f"UPDATE {table} SET body = {event} WHERE kind = 1".encode())
        with pytest.raises(JournalError, match="damaged"):
            journal.decision("decision-0")
        look.execute(f"UPDATE {table} SET body = substr(body, 1, 50)".encode())
        with pytest.raises(JournalError, match="damaged"):
            journal.read()


def traces(folder: Path, user: str, *, log: bool) -> list[str]:
    """The files of the server, those of its log or all others, in which a user or what stands for them is found."""
    wanted = (user.encode(), sha256(b"\0" + user.encode()).digest())
    files = [file for file in folder.rglob("*") if file.is_file() and ("pg_wal" in file.parts) == log]
    return [str(file.relative_to(folder)) for file in files if any(w in file.read_bytes() for w in wanted)]


def test_an_erasure_leaves_no_byte_in_the_servers_files(postgres: PostgresServer, url: str) -> None:
    users = ["shopper-one-of-the-test", "shopper-two-of-the-test"]
    with opened(url) as journal, postgres.connect() as look, postgres.connect() as old:
        # an old transaction that still sees what is erased must not keep it alive
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM pg_class")
        journal.append(busy_day(users))
        learner = new_learner()
        learner.catch_up(journal)
        journal.save_state(learner.offset, learner.state())
        look.execute("ANALYZE")
        look.execute("CHECKPOINT")
        assert all(traces(postgres.folder, user, log=False) for user in users)
        journal.erase(users[0])
        assert traces(postgres.folder, users[0], log=False) == []
        assert all(subject_of(entry) in (users[1], None) for entry in journal_entries(journal))
        look.execute("CHECKPOINT")
        assert traces(postgres.folder, users[0], log=False) == []
        assert traces(postgres.folder, users[1], log=False)
        old.execute("COMMIT")


def test_what_is_dropped_leaves_no_byte_in_the_servers_files(postgres: PostgresServer, url: str) -> None:
    old, young = "shopper-of-old-times", "shopper-of-late"
    with opened(url) as journal, postgres.connect() as look:
        journal.append(busy_day([old]))
        last, later = journal.end(), TIME + timedelta(days=400)
        journal.append([replace(sample_decision(600, young), time=later)])
        look.execute("CHECKPOINT")
        assert traces(postgres.folder, old, log=False)
        learner = new_learner()
        learner.catch_up(journal)
        learner = learner.without_pages(later, journal)
        learner.erase(old)
        dropped = journal.drop(later, kept=(learner.offset, learner.state()))
        assert dropped.decisions + dropped.events == last
        assert traces(postgres.folder, old, log=False) == []
        look.execute("CHECKPOINT")
        assert traces(postgres.folder, old, log=False) == []
        assert traces(postgres.folder, young, log=False)


def test_the_log_forgets_the_erased_where_it_is_not_recycled(postgres: PostgresServer, url: str) -> None:
    user = "shopper-of-the-log"
    with opened(url) as journal, postgres.connect() as look:
        journal.append(busy_day([user]))
        journal.erase(user)
        assert traces(postgres.folder, user, log=True)  # as docs/journal.md says
        look.execute("ALTER SYSTEM SET wal_recycle = off")
        look.execute("SELECT pg_reload_conf()")
        look.execute("SELECT pg_switch_wal()")
        look.execute("CHECKPOINT")
        assert traces(postgres.folder, user, log=True) == []
        look.execute("ALTER SYSTEM RESET wal_recycle")
        look.execute("SELECT pg_reload_conf()")


def test_an_erasure_says_when_a_reader_holds_the_table_and_can_be_sent_again(
    postgres: PostgresServer, url: str
) -> None:
    with opened(url) as journal:
        journal.append(sample_entries())
    with opened(url, timeout_s=0.5) as journal, postgres.connect() as reader:
        before = journal.counts()
        reader.execute("BEGIN")
        reader.execute(f"SELECT count(*) FROM {schema_of(url)}.entries".encode())
        with pytest.raises(JournalError, match="another process"):
            journal.erase("bob")
        assert journal.counts() == before
        reader.execute("COMMIT")
        assert journal.erase("bob") == Erasure(3, 3)
        assert journal.read()


def test_a_server_that_is_away_is_named_and_its_password_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    for url in (
        f"postgresql://shop:{SECRET}@127.0.0.1:{port}/shops",
        f"postgresql://shop@127.0.0.1:{port}/shops?password={SECRET}",
    ):
        with pytest.raises(JournalError, match=f"127.0.0.1:{port}/shops.*check that it runs") as caught:
            open_journal(url)
        assert SECRET not in everything_said(caught.value) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://shop:%zz{SECRET}@localhost/shops",
        f"postgresql://shop:/{SECRET}@localhost/shops",
        f"postgresql://shop:@{SECRET}@localhost/shops",
        f"postgresql://shop:?{SECRET}@localhost/shops",
        f"postgresql://shop:[{SECRET}@localhost/shops",
        f"postgresql://shop:{SECRET}@localhost/shops?nonsense=1",
        f"postgresql://shop:{SECRET}@localhost/shops?schema=No;good",
        f"postgresql://shop:{SECRET}@localhost:twelve/shops",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"percent-encoded|small letters") as caught:
        open_journal(url)
    assert SECRET not in everything_said(caught.value)


def everything_said(error: BaseException | None) -> str:
    """An error and what it came from, as a traceback would show them."""
    said = ""
    while error is not None:
        said += f"{error!r} {error}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said


def test_without_psycopg_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "honeyguide.journal.postgres", None)
    with pytest.raises(MissingExtra, match=r"honeyguide\[postgres\]"):
        open_journal("postgresql://localhost/shops")


def test_of_databases_only_postgresql_is_known() -> None:
    with pytest.raises(InvalidInput, match="mysql") as caught:
        open_journal(f"mysql://shop:{SECRET}@localhost/shops")
    with pytest.raises(InvalidSettings, match="postgresql") as again:
        Journal(f"mysql://shop:{SECRET}@localhost/shops")
    assert SECRET not in everything_said(caught.value) + everything_said(again.value)


def test_anything_else_is_a_file(tmp_path: Path) -> None:
    with closing(open_journal(tmp_path / "journal.db")) as journal:
        assert isinstance(journal, SqliteJournal)
