"""Products in 8 bits instead of 32: an exported graph whose large weights are int8, for ONNX Runtime.

Weights have one scale per output channel and word vectors one per word. What flows is quantised as it comes, one
scale per token: with one per batch, as `quantize_dynamic` of ONNX Runtime has it, a text's vector would depend on
the texts beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import key_of
from honeyguide.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles

_WIDE, _NARROW = 127, 63
_LEAST_WORDS = 256  # smaller tables are not worth it
_LEAST = 1e-12


def in_int8(files: EncoderFiles, *, narrow: bool = True) -> EncoderFiles:
    """The encoder with int8 products.

    `narrow` keeps weights within 7 bits: processors without VNNI add products in pairs of 16 bits, which 8-bit
    weights overflow without a word. It costs little, and the artefact then says the same on every machine.
    """
    key = key_of(files.key, "int8", narrow)
    return replace(files, graph=quantise(files.graph, narrow=narrow), key=key)


def quantise(graph: bytes, *, narrow: bool = True) -> bytes:
    """The graph with every product by a stored matrix, and every word table, in int8."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "train") from None
    model = onnx.load_from_string(graph)
    surgery = _Surgery(model.graph, _NARROW if narrow else _WIDE)
    nodes = [new for node in model.graph.node for new in surgery.replaced(node)]
    if not surgery.done:
        raise InvalidInput("this graph has no product by a stored matrix: there is nothing to quantise")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    surgery.put_back()
    return bytes(model.SerializeToString())


class _Surgery:
    """Replaces nodes of a graph; scales of what flows are shared by all products that take it."""

    def __init__(self, graph: Any, top: int) -> None:  # noqa: ANN401
        self._graph, self._top = graph, top
        self._stored = {array.name: array for array in graph.initializer}
        self._made: dict[str, NDArray[Any]] = {
            "int8.top": np.array(_WIDE, np.float32),
            "int8.step": np.array(1 / _WIDE, np.float32),
            "int8.least": np.array(_LEAST, np.float32),
            "int8.one": np.array(1, np.float32),
            "int8.zero": np.array(_WIDE + 1, np.uint8),
            "int8.last": np.array([-1]),
        }
        self._quantised: set[str] = set()
        self.done: set[str] = set()

    def replaced(self, node: Any) -> Iterator[Any]:  # noqa: ANN401
        """The nodes that stand where `node` stood."""
        matrix = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        stored = self._stored.get(node.input[matrix]) if matrix is not None else None
        if stored is None or len(stored.dims) != 2:
            yield node
        elif node.op_type == "MatMul":
            yield from self._product(node)
        elif stored.dims[0] >= _LEAST_WORDS and stored.data_type == 1:
            yield from self._words(node)
        else:
            yield node

    def put_back(self) -> None:
        """Write what was made into the graph, and let go of what it replaces."""
        import onnx

        used = {name for node in self._graph.node for name in node.input}
        kept = [array for name, array in self._stored.items() if name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
        self._graph.initializer.extend(
            onnx.numpy_helper.from_array(array, name) for name, array in self._made.items()
        )

    def _product(self, node: Any) -> Iterator[Any]:  # noqa: ANN401
        from onnx import TensorProto
        from onnx.helper import make_node

        flow, matrix, out = node.input[0], node.input[1], node.output[0]
        self._store(matrix, axis=0)
        if flow not in self._quantised:
            self._quantised.add(flow)
            yield from self._quantise(flow)
        yield make_node("MatMulInteger", [f"{flow}.q", f"{matrix}.q", "int8.zero"], [f"{out}.i"])
        yield make_node("Cast", [f"{out}.i"], [f"{out}.f"], to=TensorProto.FLOAT)
        yield make_node("Mul", [f"{out}.f", f"{matrix}.scale"], [f"{out}.s"])
        yield make_node("Mul", [f"{out}.s", f"{flow}.scale"], [out])

    def _quantise(self, flow: str) -> Iterator[Any]:
        """uint8 around 128, and one scale per token: the largest of its components becomes 127."""
        from onnx.helper import make_node

        yield make_node("Abs", [flow], [f"{flow}.abs"])
        yield make_node("ReduceMax", [f"{flow}.abs", "int8.last"], [f"{flow}.max"], keepdims=1)
        yield make_node("Max", [f"{flow}.max", "int8.least"], [f"{flow}.top"])
        yield make_node("Div", ["int8.top", f"{flow}.top"], [f"{flow}.inverse"])
        yield make_node("Mul", [flow, f"{flow}.inverse"], [f"{flow}.scaled"])
        yield make_node("QuantizeLinear", [f"{flow}.scaled", "int8.one", "int8.zero"], [f"{flow}.q"])
        yield make_node("Mul", [f"{flow}.top", "int8.step"], [f"{flow}.scale"])

    def _words(self, node: Any) -> Iterator[Any]:  # noqa: ANN401
        from onnx import TensorProto
        from onnx.helper import make_node

        table, ids, out = node.input[0], node.input[1], node.output[0]
        self._store(table, axis=1)
        yield make_node("Gather", [f"{table}.q", ids], [f"{out}.q"])
        yield make_node("Gather", [f"{table}.scale", ids], [f"{out}.scale"])
        yield make_node("Cast", [f"{out}.q"], [f"{out}.f"], to=TensorProto.FLOAT)
        yield make_node("Mul", [f"{out}.f", f"{out}.scale"], [out])

    def _store(self, name: str, *, axis: int) -> None:
        from onnx import numpy_helper

        if name in self.done:
            return
        self.done.add(name)
        weights = numpy_helper.to_array(self._stored[name])
        top = self._top if axis == 0 else _WIDE  # words are not multiplied as integers
        self._made[f"{name}.q"], self._made[f"{name}.scale"] = to_int8(weights, axis=axis, top=top)


def to_int8(
    weights: NDArray[np.float32], *, axis: int, top: int = _WIDE
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(n, m) as whole numbers in -top..top and the scales along `axis` that they are to be multiplied by."""
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / top).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale
