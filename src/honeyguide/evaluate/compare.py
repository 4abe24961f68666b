"""Runs several policies over the same traffic, one process per core, and keeps what is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import cache
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path

import msgspec

from honeyguide import artifacts
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.data.table import from_us, load_events
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.new_interests import FirstTouches
from honeyguide.evaluate.replay import PolicyRun, Replay, Traffic
from honeyguide.evaluate.served import Served, look_back
from honeyguide.interests.users import DAY_US
from honeyguide.journal.protocol import Journal
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.shop.models import Fitted, load_fitted
from honeyguide.shop.policies import serving
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Progress, silent

_done: SynchronizedArray[int]  # set in each worker process: how many visits every policy has met


def replay_policies(
    workspace: Workspace, names: Sequence[str], *, workers: int | None = None, progress: Progress = silent
) -> tuple[dict[str, PolicyRun], Served]:
    """Replay each policy on the visits after the fit; what was replayed before with the same inputs is loaded.

    `names` has to hold the served policy.
    The served policy's decisions go to a journal of their own, `reports/replay-journal.db`.
    """
    fitted = load_fitted(workspace.models, workspace.items)
    traffic = load_traffic(workspace, fitted)
    key = _key(workspace, fitted)
    missing = [name for name in names if not _known(workspace, name, key)]
    with _replaying(missing, workspace, key, workers) as done:
        total = len(traffic) * len(names)
        ready = len(traffic) * (len(names) - len(missing))
        for met in done:
            progress(ready + met, total)
    runs = {name: _load_run(workspace, name) for name in names}
    return runs, _load_served(workspace)


def load_traffic(workspace: Workspace, fitted: Fitted) -> Traffic:
    """The visits after the fit whose reward window has closed before the log ends, in time order."""
    labels = workspace.settings.labels
    everything = load_events(workspace.events, fitted.catalog)
    later = load_events(workspace.events, fitted.catalog, since=from_us(fitted.until_us + 1))
    if not len(later.item):
        raise InvalidInput(
            f"there are no events after the fit ({from_us(fitted.until_us):%Y-%m-%d}) to replay. "
            "Fit on an earlier part: honeyguide fit --until DATE"
        )
    origin_us = (fitted.until_us // DAY_US + 1) * DAY_US
    seen = visits(later, origin_us=origin_us, period_days=7.0)
    full = seen.with_full_window(int(everything.time_us.max()), labels.window_days)
    if not len(full.user):
        raise InvalidInput(
            f"no visit after the fit has a closed reward window of {labels.window_days:g} days. "
            "Fit on an earlier part: honeyguide fit --until DATE"
        )
    found = outcomes(later, full, grade=labels.grade, window_days=labels.window_days, history=everything)
    touches = FirstTouches.of(everything, later.users, fitted.items.leaf, grade=labels.grade)
    return Traffic(full, found, later.users, touches)


def replay_one(workspace: Workspace, name: str, key: str, progress: Progress) -> None:
    """Replay one policy and store how it did."""
    fitted, traffic = _loaded(workspace)
    serves = name == serving(workspace.settings.explore)
    journal = _fresh_journal(workspace) if serves else None
    replay = Replay(fitted, traffic, workspace.settings, name, keep=journal)
    run = replay.run(progress)
    meta: dict[str, object] = {"key": key}
    if serves:
        meta["served"] = msgspec.to_builtins(look_back(replay, run))
    arrays = {field.name: getattr(run, field.name) for field in fields(run) if field.name != "policy"}
    artifacts.save(_home(workspace), name, arrays, meta)
    if journal is not None:
        journal.close()


@cache
def _loaded(workspace: Workspace) -> tuple[Fitted, Traffic]:
    """A worker process replays several policies: it reads the shop once."""
    fitted = load_fitted(workspace.models, workspace.items)
    return fitted, load_traffic(workspace, fitted)


def _fresh_journal(workspace: Workspace) -> Journal:
    path = workspace.reports / "replay-journal.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        file.unlink(missing_ok=True)
    return SqliteJournal(path)


@contextmanager
def _replaying(
    names: Sequence[str], workspace: Workspace, key: str, workers: int | None
) -> Iterator[Iterator[int]]:
    """Yields the number of visits met so far, again and again, until all policies are through."""
    if not names:
        yield iter(())
        return
    # spawned, not forked: DuckDB's threads do not survive a fork
    context = get_context("spawn")
    done: SynchronizedArray[int] = context.Array("q", len(names))
    size = min(workers or os.cpu_count() or 1, len(names))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the processes already fill the cores
    pool = ProcessPoolExecutor(size, mp_context=context, initializer=_start_worker, initargs=(done,))
    with pool:
        jobs = [pool.submit(_work, workspace, name, key, slot) for slot, name in enumerate(names)]
        try:
            yield _poll(jobs, done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        for job in jobs:
            job.result()


def _poll(jobs: list[Future[None]], done: SynchronizedArray[int]) -> Iterator[int]:
    while True:
        finished, unfinished = wait(jobs, timeout=0.2, return_when="FIRST_EXCEPTION")
        yield sum(done[:])
        if not unfinished or any(job.exception() for job in finished):
            return


def _start_worker(done: SynchronizedArray[int]) -> None:
    global _done
    _done = done


def _work(workspace: Workspace, name: str, key: str, slot: int) -> None:
    def report(done: int, total: int) -> None:
        _done[slot] = done

    replay_one(workspace, name, key, report)


def _home(workspace: Workspace) -> Path:
    return workspace.cache / "replays"


def _key(workspace: Workspace, fitted: Fitted) -> str:
    settings = {k: v for k, v in asdict(workspace.settings).items() if k not in ("evaluate", "journal")}
    stamp = workspace.events.stat()
    parts = [fitted.version, settings, stamp.st_size, stamp.st_mtime_ns, _CODE]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


_CODE = 3  # raise when replay itself changes, so that old results are not shown as new ones


def _known(workspace: Workspace, name: str, key: str) -> bool:
    return artifacts.load_if_made_from(_home(workspace), name, key) is not None


def _load_run(workspace: Workspace, name: str) -> PolicyRun:
    return PolicyRun(name, **artifacts.load(_home(workspace), name).arrays)


def _load_served(workspace: Workspace) -> Served:
    return msgspec.convert(
        artifacts.load(_home(workspace), serving(workspace.settings.explore)).meta["served"], Served
    )
