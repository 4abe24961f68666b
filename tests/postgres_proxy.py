"""Stands between a journal and its server, and cuts the line at a chosen moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

SOCKET = ".s.PGSQL.5432"
Fault: TypeAlias = Literal["none", "before", "after", "silent"]


class Proxy:
    """Passes on what comes from each side, but for one COMMIT of a client.

    `fault` says what becomes of the next one: "before" cuts the line in place of passing it on, "after" passes it on
    and cuts the line in place of the answer, "silent" swallows it and all that follows, with the line kept open.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.fault: Fault = "none"
        self._folder, self._server = folder, server
        self._lines: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def through(self, url: str) -> str:
        """The same journal's URL, by way of this proxy."""
        return url.replace(quote(str(self._server), safe=""), quote(str(self._folder), safe=""))

    def close_lines(self) -> None:
        """Cut all lines; who comes again is let through."""
        for line in self._lines:
            cut(line)
        self._lines.clear()

    def close(self) -> None:
        """Cut all lines, and let nobody in."""
        cut(self._listener)
        self.close_lines()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server / SOCKET))
            self._lines += [client, server]
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        while data := received(client):
            fault = self.fault if b"COMMIT" in data else "none"
            if fault == "silent":
                return
            if fault == "before":
                self.fault = "none"
                break
            send(server, data)
        cut(client)
        cut(server)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := received(server):
            if self.fault == "after" and b"COMMIT" in data:
                self.fault = "none"
                break
            if self.fault != "silent":
                send(client, data)
        cut(client)
        cut(server)


@contextmanager
def proxy(folder: Path, server: Path) -> Iterator[Proxy]:
    """A proxy with its socket in `folder`, in front of the server whose socket is in `server`."""
    opened = Proxy(folder, server)
    try:
        yield opened
    finally:
        opened.close()


def received(line: socket.socket) -> bytes:
    """What comes next; nothing where the line is cut."""
    try:
        return line.recv(1 << 16)
    except OSError:
        return b""


def send(line: socket.socket, data: bytes) -> None:
    """Pass it on, unless the line is cut: then the next look at it says so."""
    with suppress(OSError):
        line.sendall(data)


def cut(line: socket.socket) -> None:
    """Close it, waking whoever waits on it."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
