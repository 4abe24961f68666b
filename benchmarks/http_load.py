"""A small HTTP client that asks as often as it can, or at a rate that does not wait for answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from honeyguide.types import Floats


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: seconds (n,) of each answer, its status, and how long all of it took."""

    seconds: Floats
    statuses: tuple[int, ...]
    took: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return sum(status == 200 for status in self.statuses) / self.took

    def at(self, share: float) -> float:
        """The milliseconds within which this share of the answers came."""
        return float(np.quantile(self.seconds, share)) * 1000


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post, and what: `body` of the number of the request."""

    port: int
    path: str
    body: Callable[[int], bytes]

    def request(self, number: int) -> bytes:
        """The bytes of one request."""
        body = self.body(number)
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def as_often_as_it_can(target: Target, seconds: float, *, connections: int = 16) -> Load:
    """Each connection asks again as soon as it is answered."""
    end = time.perf_counter() + seconds

    def times() -> Iterator[float]:
        while (now := time.perf_counter()) < end:
            yield now

    return asyncio.run(_asked(target, times(), connections))


def at_a_rate(target: Target, rate: float, seconds: float, *, connections: int = 64) -> Load:
    """So many requests a second, whatever becomes of them; an answer's time counts from when it was due."""
    start = time.perf_counter()
    return asyncio.run(_asked(target, iter(start + np.arange(0, seconds, 1 / rate)), connections))


async def _asked(target: Target, due: Iterator[float], connections: int) -> Load:
    start = time.perf_counter()
    numbered = enumerate(due)
    done: list[tuple[float, int]] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        for number, at in numbered:  # all connections take from one list, so the next free one asks
            await asyncio.sleep(max(at - time.perf_counter(), 0))
            writer.write(target.request(number))
            status = await _status(reader)
            done.append((time.perf_counter() - at, status))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask() for _ in range(connections)))
    seconds, statuses = zip(*done, strict=True)
    return Load(np.array(seconds), statuses, time.perf_counter() - start)


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of one answer, all of which is read."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(line for line in head.splitlines() if line.startswith("content-length:"))
    await reader.readexactly(int(length.partition(":")[2]))
    return int(head.split(" ", 2)[1])
