"""Products in 8 bits: the graph computes what numpy says it should, and a text's vector is its own."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from honeyguide.checks.encoder import CHECKS_ENCODER, EncoderCheck
from honeyguide.errors import InvalidInput
from honeyguide.plm.compress.int8 import in_int8, quantise, to_int8
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import EncoderFiles
from honeyguide.plm.files import GRAPH, TOKENIZER
from honeyguide.plm.forms import encoder_of
from tests.tiny_bert import MAX_TOKENS, tiny_artifact, tiny_encoder

TEXTS = ["frozen pizza", "dog food", "shampoo and conditioner for dry hair", "milk", "a hand of soap, dry"]


def tiny_files() -> EncoderFiles:
    folder = tiny_artifact().folder
    return EncoderFiles(
        (folder / GRAPH).read_bytes(), (folder / TOKENIZER).read_bytes(), 32, MAX_TOKENS, "tiny"
    )


def in_8_bits() -> OnnxEncoder:
    return encoder_of(in_int8(tiny_files()), threads=1, batch_size=4)


@pytest.mark.parametrize("check", CHECKS_ENCODER, ids=lambda check: check.__name__)
def test_the_encoder_in_8_bits_keeps_the_law(check: EncoderCheck) -> None:
    check(in_8_bits)


def test_what_onnxruntime_makes_of_it_itself_breaks_the_law_of_the_batch(tmp_path: Path) -> None:
    """Why it is not simply `quantize_dynamic`: one scale a batch lets neighbours in."""
    from onnxruntime.quantization import quantize_dynamic

    logging.disable(logging.WARNING)
    (tmp_path / "whole.onnx").write_bytes(tiny_files().graph)
    quantize_dynamic(tmp_path / "whole.onnx", tmp_path / "small.onnx", per_channel=True)
    logging.disable(logging.NOTSET)
    theirs = encoder_of(replace(tiny_files(), graph=(tmp_path / "small.onnx").read_bytes()), threads=1)
    texts = ["red wine", "dog food", "hand soap", "dry hair"]
    alone = np.concatenate([theirs.encode([text]) for text in texts])
    assert np.abs(alone - theirs.encode(texts)).max() > 1e-4
    ours = in_8_bits()
    alone = np.concatenate([ours.encode([text]) for text in texts])
    np.testing.assert_allclose(alone, ours.encode(texts), atol=1e-6)


def test_vectors_stay_near_and_the_graph_gets_small() -> None:
    cosines = (in_8_bits().encode(TEXTS) * tiny_encoder().encode(TEXTS)).sum(1)
    assert (cosines > 0.98).all()
    assert len(in_int8(tiny_files()).graph) < len(tiny_files().graph)


def one_product(width: int, out: int, seed: int) -> tuple[bytes, np.ndarray]:
    weights = np.random.default_rng(seed).normal(size=(width, out)).astype(np.float32)
    graph = make_graph(
        [make_node("MatMul", ["x", "w"], ["y"])],
        "one",
        [make_tensor_value_info("x", 1, ["n", width])],
        [make_tensor_value_info("y", 1, ["n", out])],
        [numpy_helper.from_array(weights, "w")],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=10).SerializeToString(), weights


@pytest.mark.parametrize("narrow", [True, False])
def test_a_product_is_that_of_whole_numbers_and_two_scales(narrow: bool) -> None:
    graph, weights = one_product(64, 8, 0)
    size = np.array([[1e-3], [1], [50], [0], [7]], dtype=np.float32)
    x = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32) * size
    session = onnxruntime.InferenceSession(quantise(graph, narrow=narrow), providers=["CPUExecutionProvider"])
    got = session.run(["y"], {"x": x})[0]
    top = 63 if narrow else 127
    column = np.abs(weights).max(0) / top
    whole = np.rint(weights / column)
    token = np.maximum(np.abs(x).max(1, keepdims=True), 1e-12)
    wanted = (np.rint(x * (127 / token)) @ whole) * column * (token / 127)
    np.testing.assert_allclose(got, wanted, rtol=2e-2, atol=1e-5 * np.abs(wanted).max())
    assert not got[3].any()
    exact = x.astype(np.float64) @ weights
    error = np.linalg.norm(got - exact, axis=1)[:3] / np.linalg.norm(exact, axis=1)[:3]
    assert (error < (0.02 if narrow else 0.015)).all()


def test_narrow_weights_cannot_overflow_sixteen_bits() -> None:
    graph, _ = one_product(64, 8, 3)
    for narrow in (True, False):
        stored = {
            array.name: numpy_helper.to_array(array)
            for array in onnx.load_from_string(quantise(graph, narrow=narrow)).graph.initializer
        }
        largest = int(np.abs(stored["w.q"].astype(int)).max())
        assert (2 * 255 * largest <= np.iinfo(np.int16).max) is narrow


def test_rows_and_columns_have_their_own_scales() -> None:
    weights = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    weights[3] = 0
    for axis in (0, 1):
        whole, scale = to_int8(weights, axis=axis)
        assert whole.dtype == np.int8
        assert np.abs(whole * scale - weights).max() <= scale.max() / 2 + 1e-7
        assert (np.abs(whole).max(axis) <= 127).all()
    assert not to_int8(weights, axis=1)[0][3].any()


def test_a_graph_without_a_stored_matrix_is_told() -> None:
    graph = make_graph(
        [make_node("Abs", ["x"], ["y"])], "none",
        [make_tensor_value_info("x", 1, ["n", 4])], [make_tensor_value_info("y", 1, ["n", 4])],
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="nothing to quantise"):
        quantise(make_model(graph).SerializeToString())


def test_other_settings_are_another_key() -> None:
    keys = {tiny_files().key, in_int8(tiny_files()).key, in_int8(tiny_files(), narrow=False).key}
    assert len(keys) == 3
    assert in_int8(tiny_files()).graph == in_int8(tiny_files()).graph
