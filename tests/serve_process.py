"""`honeyguide serve` as a process of its own, on a free port of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def serving(
    folder: Path, *, stderr: int = subprocess.PIPE
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The process and a client of it, killed at the end of the block; a pipe holds the log of a few requests only."""
    words = ["serve", str(folder), "--port", "0", "--wait-ms", "60000"]
    code = f"from honeyguide.cli.app import main; main({words!r})"
    command = [sys.executable, "-c", code]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert running.stdout is not None
    try:
        said = running.stdout.readline()
        (url,) = re.findall(r"without a key, from this machine only: (http://127\.0\.0\.1:\d+) ", said)
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield running, client
    finally:
        running.kill()
        running.communicate()
