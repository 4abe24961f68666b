"""A TCP proxy in front of the PostgreSQL server that cuts, stalls, halves or delays what goes through it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from tests.postgres_proxy import SOCKET, cut, received, send

Mood: TypeAlias = Literal["fine", "cut", "stalled", "half", "slow"]
_DELAY_S = 0.03


class FaultyLine:
    """Listens on a port of this machine; `mood` says what becomes of the lines.

    "cut" closes all of them and refuses new ones, "stalled" takes everything and passes nothing on, and closes the
    lines when it ends, "half" passes half of the server's next message on and closes that line, "slow" waits a
    moment before each message.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._mood: Mood = "fine"
        self._lines: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def mood(self) -> Mood:
        """What becomes of the lines."""
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self._mood = mood
        if mood == "cut":
            self._close_lines()

    def through(self, url: str) -> str:
        """The same journal's URL, by way of this proxy."""
        port = self._listener.getsockname()[1]
        return url.replace(quote(str(self._server), safe=""), f"127.0.0.1&port={port}")

    def close(self) -> None:
        """Close all lines, and let nobody in."""
        self._mood = "cut"
        cut(self._listener)
        self._close_lines()

    def _close_lines(self) -> None:
        for line in self._lines:
            cut(line)
        self._lines.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._mood == "cut":
                cut(client)
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server / SOCKET))
            self._lines += [client, server]
            for source, target, down in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, target, down), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, down: bool) -> None:
        while data := received(source):
            while self._mood == "stalled":
                time.sleep(0.02)
                if self._mood != "stalled":
                    data = b""
            if self._mood == "slow":
                time.sleep(_DELAY_S)
            half = down and self._mood == "half"
            send(target, data[: len(data) // 2] if half else data)
            if half:
                self._mood = "fine"
            if half or not data:
                break
        cut(source)
        cut(target)


@contextmanager
def faulty_line(server: Path) -> Iterator[FaultyLine]:
    """A proxy in front of the server whose socket is in `server`."""
    opened = FaultyLine(server)
    try:
        yield opened
    finally:
        opened.close()
