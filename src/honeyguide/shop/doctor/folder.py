"""The folder of a workspace: rights, room on the disk, and what killed jobs left."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from honeyguide.journal.open import is_url
from honeyguide.shop.doctor.check import Check, broken, fine, warning
from honeyguide.shop.workspace import Workspace

_JOBS = ("fit", "prepare", "evaluate", "export")
_LEFT = ("models/*/.staging-*", "data/.import-*")
_LEAST_FREE = 100 << 20


def permissions(workspace: Workspace) -> Check:
    """Whether this user may write where a shop writes, and nobody else may read the keys."""
    folders = [workspace.root, workspace.data, workspace.models]
    wrong = [folder for folder in folders if folder.exists() and not os.access(folder, os.W_OK | os.X_OK)]
    files = [
        path for path in (workspace.journal,) if path.exists() and not os.access(path, os.W_OK | os.R_OK)
    ]
    if wrong or files:
        named = ", ".join(map(str, [*wrong, *files]))
        return broken("permissions", f"cannot write to {named}", f"Run: chown -R $USER {workspace.root}")
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        return broken("permissions", f"there is no {missing[0]}", f"Run: mkdir {missing[0]}")
    keys = workspace.root / "keys.json"
    if keys.exists() and keys.stat().st_mode & 0o077:
        return warning("permissions", "others may read the keys' hashes", f"Run: chmod 600 {keys}")
    return fine("permissions", "what is written to can be written to")


def space(workspace: Workspace, free: int | None = None) -> Check:
    """Whether the disk has room for an erasure, which writes the journal anew; `free` bytes, asked for if None."""
    left = shutil.disk_usage(workspace.root).free if free is None else free
    journal = workspace.journal
    size = journal.stat().st_size if not is_url(workspace.store) and journal.exists() else 0
    said = f"{left / 1e9:,.1f} GB are free"
    if left < _LEAST_FREE:
        return broken("disk space", said, "Free some space: soon nothing can be recorded")
    if left < 2 * size:
        said += f", the journal has {size / 1e9:,.1f} GB"
        return warning("disk space", said, "Free some space: erasing a user writes the journal anew")
    return fine("disk space", said)


def locks(workspace: Workspace) -> Check:
    """Which jobs run, and what ones that were killed left; a lock itself ends with the process that held it."""
    running = [job for job in _JOBS if _held(workspace.root / f".{job}.lock")]
    running += ["import"] if _held(workspace.data / ".lock") else []
    if running:
        return fine("locks", f"running now: {', '.join(running)}")
    left = [path for pattern in _LEFT for path in workspace.root.glob(pattern)]
    left += workspace.root.absolute().parent.glob(f".{workspace.root.absolute().name}.restoring")
    if left:
        named = " ".join(map(str, sorted(left)))
        return warning("locks", f"killed jobs left {len(left)} folders", f"Run: rm -r {named}")
    return fine("locks", "no job runs, and none left anything behind")


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
