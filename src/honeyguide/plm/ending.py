"""What is done to an encoder's vectors after it made them, as a part of its exported graph: serving need not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from honeyguide.errors import MissingExtra
from honeyguide.plm.files import VECTORS

GIVEN, RAW = "given", "raw"
"""What an ending's first step takes and its last one gives."""

Step = tuple[str, Sequence[str], str]
"""An ONNX operator, what it takes, and what it gives."""


def with_ending(
    graph: bytes, name: str, steps: Sequence[Step], stored: Mapping[str, np.ndarray[Any, Any]], *, dim: int
) -> bytes:
    """The graph with `steps` after its vectors, from GIVEN to RAW (n, dim), and the length made 1 in the end.

    `stored` are arrays that steps take by their names; `name` keeps one ending's names apart from another's.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "train") from None
    from onnx.helper import make_node, make_tensor_value_info

    model = onnx.load_from_string(graph)
    place = len(model.graph.node)  # the same ending may come twice

    def own(part: str) -> str:
        return f"{name}.{place}.{part}"

    for node in model.graph.node:
        node.output[:] = [own(GIVEN) if one == VECTORS else one for one in node.output]
        node.input[:] = [own(GIVEN) if one == VECTORS else one for one in node.input]
    length = {"axis": np.array([1]), "least": np.array(1e-12, np.float32)}
    nodes = [make_node(operator, list(map(own, takes)), [own(gives)]) for operator, takes, gives in steps]
    nodes += [
        make_node("ReduceL2", [own(RAW), own("axis")], [own("norm")], keepdims=1),
        make_node("Max", [own("norm"), own("least")], [own("length")]),
        make_node("Div", [own(RAW), own("length")], [VECTORS]),
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ascontiguousarray(array), own(part))
        for part, array in {**stored, **length}.items()
    )
    batch = model.graph.output[0].type.tensor_type.shape.dim[0].dim_param or "batch"
    del model.graph.output[:]
    model.graph.output.append(make_tensor_value_info(VECTORS, onnx.TensorProto.FLOAT, [batch, dim]))
    return bytes(model.SerializeToString())
