"""The parity gate: an encoder that is smaller or faster is taken only if it still finds what its reference finds.

Cosines say how far vectors moved, but a shop is served by what is found: the gate is about recall, and is passed by
measuring, on the machine that asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput, QualityLost
from honeyguide.types import Encoder, Rows, Vectors

_CHUNK = 512  # texts that ask at once
_WANTED = 3


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalTask:
    """Distinct `texts`, and (p,) rows of them: asked with `asked[i]`, `wanted[i]` should be found."""

    texts: tuple[str, ...]
    asked: Rows
    wanted: Rows

    def __post_init__(self) -> None:
        n = len(self.texts)
        if len(set(self.texts)) != n:
            raise InvalidInput(
                "the same text stands twice in this task: which of the two is found means nothing"
            )
        rows = np.concatenate([self.asked, self.wanted])
        if len(self.asked) != len(self.wanted) or not len(rows) or rows.min() < 0 or rows.max() >= n:
            raise InvalidInput(f"a task needs pairs of rows in 0..{n - 1}, as many asked as wanted")
        if (self.asked == self.wanted).any():
            raise InvalidInput("a text is not wanted for itself: leave such pairs out")


def neighbour_task(reference: Encoder, texts: Sequence[str], *, wanted: int = _WANTED) -> RetrievalTask:
    """Without labels: asked with a text, the `wanted` nearest to it by the reference should be found."""
    distinct = tuple(dict.fromkeys(texts))
    if len(distinct) < 2:
        raise InvalidInput(
            f"at least two distinct texts are needed to find one with another, got {len(distinct)}"
        )
    rows = np.arange(len(distinct))
    near = _nearest(reference.encode(distinct), rows, wanted)
    return RetrievalTask(distinct, np.repeat(rows, near.shape[1]), near.reshape(-1))


@dataclass(frozen=True, slots=True)
class Parity:
    """What a candidate keeps of its reference; cosines are None where the two have other dims."""

    texts: int
    queries: int
    k: int
    least_cosine: float | None
    mean_cosine: float | None
    recall: float
    reference_recall: float
    agreement: float
    """The share of the reference's k nearest that are among the candidate's."""

    @property
    def lost(self) -> float:
        """The share of the reference's recall that is gone; below 0 where the candidate finds more."""
        return 1 - self.recall / self.reference_recall

    def __str__(self) -> str:
        cosine = (
            ""
            if self.least_cosine is None
            else f", cosine {self.mean_cosine:.4f} on average and {self.least_cosine:.4f} at least"
        )
        return (
            f"recall@{self.k} {self.recall:.4f} against {self.reference_recall:.4f}, {self.agreement:.1%} of the "
            f"nearest {self.k} the same{cosine} ({self.queries} queries among {self.texts} texts)"
        )


def measure_parity(reference: Encoder, candidate: Encoder, task: RetrievalTask, *, k: int = 10) -> Parity:
    """Ask both encoders the task's queries; InvalidInput where the reference finds nothing of what is wanted."""
    if k < 1:
        raise InvalidInput(f"k must be at least 1, got {k}")
    theirs, ours = reference.encode(task.texts), candidate.encode(task.texts)
    if not np.isfinite(ours).all():
        raise QualityLost(f"encoder {candidate.version} gives vectors that are not finite: it finds nothing")
    queries = np.unique(task.asked)
    near, ours_near = _nearest(theirs, queries, k), _nearest(ours, queries, k)
    n = len(task.texts)
    codes = np.unique(task.asked * n + task.wanted)
    reference_recall = _recall(near, queries, codes, n)
    if not reference_recall:
        raise InvalidInput(
            f"the reference finds nothing of what is wanted among the {k} nearest: choose another task"
        )
    shared = np.isin(queries[:, None] * n + ours_near, queries[:, None] * n + near)
    cosines = (theirs * ours).sum(1)[theirs.any(1)] if theirs.shape == ours.shape else np.zeros(0)
    return Parity(
        texts=n,
        queries=len(queries),
        k=near.shape[1],
        least_cosine=float(cosines.min()) if len(cosines) else None,
        mean_cosine=float(cosines.mean()) if len(cosines) else None,
        recall=_recall(ours_near, queries, codes, n),
        reference_recall=reference_recall,
        agreement=float(shared.mean()),
    )


def check_parity(
    reference: Encoder,
    candidate: Encoder,
    task: RetrievalTask,
    *,
    tolerance: float = 0.02,
    k: int = 10,
    remedy: str = "Keep the reference, compress less, or allow more to be lost",
) -> Parity:
    """The figures, where at most `tolerance` of the reference's recall is lost; QualityLost where it is more."""
    if not 0 <= tolerance < 1:
        raise InvalidInput(f"tolerance must be at least 0 and below 1, got {tolerance}")
    found = measure_parity(reference, candidate, task, k=k)
    if not found.lost <= tolerance:  # also where it is not a number
        raise QualityLost(
            f"encoder {candidate.version} loses {found.lost:.1%} of what {reference.version} finds, and "
            f"{tolerance:.1%} are allowed: {found}. {remedy}"
        )
    return found


def _nearest(vectors: Vectors, rows: Rows, k: int) -> Rows:
    """(m, min(k, n - 1)): the rows nearest to each of `rows` by inner product, itself left out, in no order."""
    k = min(k, len(vectors) - 1)
    found = np.zeros((len(rows), k), dtype=np.int64)
    for first in range(0, len(rows), _CHUNK):
        part = rows[first : first + _CHUNK]
        scores = vectors[part] @ vectors.T
        scores[np.arange(len(part)), part] = -np.inf
        found[first : first + len(part)] = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return found


def _recall(near: Rows, queries: Rows, codes: NDArray[np.int64], n: int) -> float:
    """Mean share of what is wanted for a query that is near it; `codes` are asked * n + wanted, sorted."""
    hits = np.isin(queries[:, None] * n + near, codes).sum(1)
    there = np.searchsorted(codes, (queries + 1) * n) - np.searchsorted(codes, queries * n)
    return float((hits / np.minimum(there, near.shape[1])).mean())
