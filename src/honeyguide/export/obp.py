"""Logged bandit feedback for the Open Bandit Pipeline: one round per shown slot, as NumPy arrays without pickle.

    n_rounds, n_actions       ()        int64
    action, position          (n,)      int64: row of `item_ids`; slot from 0 at the top of the page
    reward, pscore            (n,)      float64: the slot's reward; its probability given the slots above it
    context                   (n, d)    float64: the mean of the request's candidates, the same whatever was chosen
    action_context            (m, d)    float64: the mean features of an item whenever it was a candidate
    slate_id, pscore_cascade  (n,)      the page of the round; the probability of its slots from the top to this one
    item_ids                  (m,)      the shop's ids

`pscore` fits estimators that take each slot for a round; `slate_id` and `pscore_cascade` those for whole pages.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.export.exporter import ExportReport, FileCount, Needs, Source, left_out
from honeyguide.export.log import Page
from honeyguide.types import Floats, Progress

_DTYPES = {
    "action": np.dtype("<i8"),
    "position": np.dtype("<i8"),
    "reward": np.dtype("<f8"),
    "pscore": np.dtype("<f8"),
    "context": np.dtype("<f8"),
    "slate_id": np.dtype("<i8"),
    "pscore_cascade": np.dtype("<f8"),
}


class Obp:
    """Settled pages only, and those whose features are of the latest kind: arrays have one width."""

    name = "obp"
    needs: Needs = "decisions"
    folder = False

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """The rounds go to disk as they come; in memory are the items' means."""
        width = source.log.width
        items = _Items(width)
        pages = other = 0
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch, _Columns(Path(scratch)) as columns:
            for page in source.log.settled(progress):
                if page.decision.candidates.features.shape[1] != width:
                    other += 1
                    continue
                self._append(page, pages, items, columns)
                pages += 1
            whole = {
                "n_rounds": np.array(columns.rows),
                "n_actions": np.array(len(items.ids)),
                "action_context": items.means(),
                "item_ids": np.array(items.ids, dtype=np.str_),
            }
            columns.save(target, width, whole)
            count = FileCount(target.name, columns.rows)
        missing = left_out(
            source.log.waiting, (other, f"decisions with other features than the latest ({width})")
        )
        return ExportReport(self.name, target, (count,), missing, source.log.notes)

    @staticmethod
    def _append(page: Page, number: int, items: _Items, columns: _Columns) -> None:
        decision = page.decision
        drawn = ~decision.pinned  # what the shop pinned was no choice of any policy
        k = int(drawn.sum())
        rows = items.add(decision.candidates.item_ids, decision.candidates.features.astype(np.float64))
        columns.append(
            {
                "action": rows[decision.chosen[drawn]],
                "position": np.flatnonzero(drawn),
                "reward": page.rewards[drawn],
                "pscore": decision.propensities[drawn],
                "context": np.tile(decision.candidates.features.mean(axis=0, dtype=np.float64), (k, 1)),
                "slate_id": np.full(k, number),
                "pscore_cascade": np.cumprod(decision.propensities[drawn]),
            }
        )


class _Items:
    """The items that were ever candidates, with the sums of their features."""

    def __init__(self, width: int) -> None:
        self._rows: dict[str, int] = {}
        self._sums = np.zeros((64, width))
        self._counts = np.zeros(64)

    @property
    def ids(self) -> tuple[str, ...]:
        """In the order of their rows."""
        return tuple(self._rows)

    def add(self, item_ids: tuple[str, ...], features: Floats) -> NDArray[np.int64]:
        """(n,): the rows of these candidates, whose (n, d) features are added up."""
        rows = np.array(
            [self._rows.setdefault(item_id, len(self._rows)) for item_id in item_ids], dtype=np.int64
        )
        while len(self._rows) > len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._sums[rows] += features
        self._counts[rows] += 1
        return rows

    def means(self) -> Floats:
        """(m, d)."""
        n = len(self._rows)
        return np.asarray(self._sums[:n] / self._counts[:n, None])


class _Columns:
    """Arrays that grow on disk and become an .npz in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: (folder / name).open("w+b") for name in _DTYPES}
        self.rows = 0

    def __enter__(self) -> _Columns:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, part: dict[str, NDArray[Any]]) -> None:
        """The rounds of one page."""
        for name, array in part.items():
            self._files[name].write(array.astype(_DTYPES[name], copy=False).tobytes())
        self.rows += len(part["action"])

    def save(self, target: Path, width: int, whole: dict[str, NDArray[Any]]) -> None:
        """What `np.load(target, allow_pickle=False)` reads, with the arrays of `whole` besides."""
        with zipfile.ZipFile(target, "w") as archive:
            for name, array in whole.items():
                with archive.open(_member(name), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            for name, dtype in _DTYPES.items():
                shape = (self.rows, width) if name == "context" else (self.rows,)
                self._files[name].seek(0)
                with archive.open(_member(name), "w", force_zip64=True) as member:
                    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(member, header)
                    shutil.copyfileobj(self._files[name], member)


def _member(name: str) -> zipfile.ZipInfo:
    """A member that carries no time, so that equal rounds give an equal file."""
    member = zipfile.ZipInfo(f"{name}.npy")
    member.compress_type = zipfile.ZIP_DEFLATED
    return member
