"""An encoder of fewer dims: the first components of a model that was taught so, or of any other after a rotation.

All of it becomes part of the exported graph, so what serves need not know.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.artifacts import key_of
from honeyguide.errors import InvalidInput, MissingExtra
from honeyguide.plm.files import VECTORS
from honeyguide.types import Vectors

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles

_FULL = "vectors.full"


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
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "train") from None
    from onnx.helper import make_node, make_tensor_value_info

    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = [_FULL if name == VECTORS else name for name in node.output]
        node.input[:] = [_FULL if name == VECTORS else name for name in node.input]
    dim = matrix.shape[1]
    stored = {"turn.axis": np.array([1]), "turn.least": np.array(1e-12, np.float32)}
    if turned:
        stored["turn.matrix"] = matrix
        first = make_node("MatMul", [_FULL, "turn.matrix"], ["turn.raw"])
    else:
        stored |= {"turn.start": np.array([0]), "turn.end": np.array([dim])}
        first = make_node("Slice", [_FULL, "turn.start", "turn.end", "turn.axis"], ["turn.raw"])
    nodes = [
        first,
        make_node("ReduceL2", ["turn.raw", "turn.axis"], ["turn.norm"], keepdims=1),
        make_node("Max", ["turn.norm", "turn.least"], ["turn.length"]),
        make_node("Div", ["turn.raw", "turn.length"], [VECTORS]),
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in stored.items()
    )
    batch = model.graph.output[0].type.tensor_type.shape.dim[0].dim_param or "batch"
    del model.graph.output[:]
    model.graph.output.append(make_tensor_value_info(VECTORS, onnx.TensorProto.FLOAT, [batch, dim]))
    return bytes(model.SerializeToString())
