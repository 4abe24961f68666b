"""An encoder of fewer dims: the first components of a model that was taught so, or of any other after a rotation.

All of it becomes part of the exported graph, so what serves need not know.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.artifacts import key_of
from honeyguide.errors import InvalidInput
from honeyguide.plm.ending import GIVEN, RAW, with_ending
from honeyguide.types import Vectors

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles


def rotation(vectors: Vectors, dim: int) -> Vectors:
    """(d, dim) float32: the directions in which vectors (n, d) say most, so that their products lose least.

    These are principal components about 0, not about the mean: similarities are products, not distances from it.
    """
    n, width = vectors.shape
    if not 1 <= dim <= min(n, width):
        raise InvalidInput(
            f"dim must lie in 1..{min(n, width)} for {n} vectors of {width} components, got {dim}"
        )
    plain = vectors.astype(np.float64)
    values, directions = np.linalg.eigh(plain.T @ plain)
    best = directions[:, np.argsort(-values, kind="stable")[:dim]]
    signs = np.sign(best[np.abs(best).argmax(0), np.arange(dim)])  # eigh leaves open which way they point
    return np.ascontiguousarray(best * signs, dtype=np.float32)


def truncated(files: EncoderFiles, dim: int, *, turn: Vectors | None = None) -> EncoderFiles:
    """An encoder whose vectors are the first `dim` components, of unit norm anew, after `turn` where one is given."""
    if not 1 <= dim <= files.dim:
        raise InvalidInput(f"dim must lie in 1..{files.dim}, got {dim}")
    matrix = np.eye(files.dim, dim, dtype=np.float32) if turn is None else turn
    if matrix.shape != (files.dim, dim):
        raise InvalidInput(f"turn must be ({files.dim}, {dim}), got {matrix.shape}")
    key = key_of(files.key, "first components", dim, None if turn is None else turn.tolist())
    return replace(files, graph=_with_end(files.graph, matrix, turned=turn is not None), dim=dim, key=key)


def _with_end(graph: bytes, matrix: Vectors, *, turned: bool) -> bytes:
    dim = matrix.shape[1]
    if turned:
        return with_ending(graph, "turn", [("MatMul", (GIVEN, "matrix"), RAW)], {"matrix": matrix}, dim=dim)
    cut = {"start": np.array([0]), "end": np.array([dim]), "along": np.array([1])}
    return with_ending(graph, "turn", [("Slice", (GIVEN, *cut), RAW)], cut, dim=dim)
