"""What is dear and always the same, made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import msgspec

from honeyguide.plm.export import EncoderFiles, checkpoint_key

Export = Callable[..., EncoderFiles]


def run_folder(base: Path) -> Path:
    """The folder that the processes of this run have in common, `base` being that of one of them."""
    return base.parent if base.name.startswith("popen-") else base


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`, which the process that comes first has filled by `make`; the others wait for it."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            try:
                make(folder)
            except BaseException:
                shutil.rmtree(folder)
                raise
    return folder


def exporting_once(export: Export, base: Path) -> Export:
    """`export` of honeyguide.plm.export that makes each encoder once a run: equal keys give equal encoders."""

    @wraps(export)
    def once(checkpoint: str, *, max_tokens: int) -> EncoderFiles:
        def make(folder: Path) -> None:
            files = export(checkpoint, max_tokens=max_tokens)
            (folder / "files").write_bytes(msgspec.msgpack.encode(files))

        key = checkpoint_key(checkpoint, max_tokens)
        folder = made_once(run_folder(base) / f"export-{key}", make)
        return msgspec.msgpack.decode((folder / "files").read_bytes(), type=EncoderFiles)

    return once
