"""Connections that hold on to nothing for long: slow and endless heads, endless questions, answers nobody reads."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_S = 30.0
"""How long a connection may be open and silent, before its first request and after each."""
HEAD_S = 10.0
"""How long the head of a request may take to arrive."""
READ_S = 30.0
"""How long an answer may wait to be read."""
LARGEST_HEAD = 65_536
"""Bytes of a head: path, query and headers."""
MOST_AHEAD = 1_000
"""Requests that may be sent before the first of them is answered."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """One connection of uvicorn, which waits for its first request, for a head and for a reader, but not for ever."""

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - whatever uvicorn's own takes
        super().__init__(*args, **named)
        self._within_head = False
        self._heads = self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._answered: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(IDLE_S, self._end)

    def data_received(self, data: bytes) -> None:
        """Read on, unless this has been a head for too many bytes."""
        before = self._heads
        super().data_received(data)
        if not self._within_head or self.transport.is_closing():
            return
        if self._heads == before:  # of what it began in, most may be of requests before it
            self._head_bytes += len(data)
        if self._head_bytes > LARGEST_HEAD:
            self.transport.write(_TOO_LARGE)
            self._end()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._within_head, self._head_bytes = True, 0
        self._heads += 1
        self._head_over()
        self._head_timer = self.loop.call_later(HEAD_S, self._end)

    def on_headers_complete(self) -> None:
        """It is over."""
        self._within_head = False
        self._head_over()
        super().on_headers_complete()
        if len(self.pipeline) > MOST_AHEAD and not self.transport.is_closing():
            self._give_up()

    def on_response_complete(self) -> None:
        """Read on when all that was asked ahead is answered: else it would pile up, and each answer read yet more."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def pause_writing(self) -> None:
        """The other side does not read."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._head_over()
        if self._read_timer is not None:
            self._read_timer.cancel()
        super().connection_lost(exc)

    def _head_over(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self) -> None:
        """Close it; what was answered before and is not read then is not waited for for ever."""
        self.transport.close()
        self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
        self._read_timer = self.loop.call_later(READ_S, self._give_up)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - as uvicorn has it
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _give_up(self) -> None:
        if self._answered is not None:
            self._answered.disconnected = True  # what is said from now on goes nowhere, which is no failure
        line = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it is closed already
            # what was not read is dropped, and the other side told: else the kernel keeps both waiting for minutes
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
