"""How often a key may ask where several processes of one machine answer: a bucket in a file of theirs."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from honeyguide.serve.auth import Key
from honeyguide.serve.limits import Bucket, Rates

_BUCKET = struct.Struct("<ddd")


class SharedRates(Rates):
    """A bucket per key in `folder`, locked for the microseconds in which a token is taken from it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._files: dict[str, int] = {}

    def take(self, key: Key, now: float) -> float:
        """Take a token; for how many seconds there is none, 0 where it was taken."""
        file = self._file(key.key_id)
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            stored = os.pread(file, _BUCKET.size, 0)
            bucket = Bucket(*_BUCKET.unpack(stored)) if stored else Bucket.full(key.rate, now)
            if bucket.rate != key.rate:
                bucket = Bucket.full(key.rate, now)
            wait = bucket.take(now)
            os.pwrite(file, _BUCKET.pack(bucket.rate, bucket.tokens, bucket.at), 0)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
        return wait

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = os.open(self._folder / f"rate-{name}", os.O_RDWR | os.O_CREAT, 0o600)
        return self._files[name]
