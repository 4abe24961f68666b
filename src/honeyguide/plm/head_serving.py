"""Tasks that serve: an exported encoder with a head on top, no torch.

A head on a text's vector is a matrix product on vectors that are often there already; a head on words is part of the
graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from honeyguide.artifacts import Artifact
from honeyguide.errors import InvalidInput
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.files import TAGS
from honeyguide.plm.words import first_tokens
from honeyguide.types import Encoder, State, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class LabelHead:
    """What a text's vector says of it: probabilities of classes or labels, or numbers."""

    kind: str
    labels: tuple[str, ...]
    weight: Vectors
    bias: Vectors
    mean: Vectors
    spread: Vectors

    @classmethod
    def of(cls, about: dict[str, Any], arrays: State) -> Self:
        """The head that was trained, from what it says about itself and its arrays."""
        kind, labels = str(about["kind"]), tuple(map(str, about["labels"]))
        if kind not in ("classification", "multi-label", "regression"):
            raise InvalidInput(f"a {kind} head says nothing of one text by itself: open it as what it is")
        count = len(labels)
        return cls(
            kind,
            labels,
            arrays["out.weight"],
            arrays["out.bias"],
            arrays.get("mean", np.zeros(count, np.float32)),
            arrays.get("spread", np.ones(count, np.float32)),
        )

    def predict(self, vectors: Vectors) -> Vectors:
        """(n, labels) float32 for unit vectors (n, dim), column j belonging to `labels[j]`."""
        outputs = (vectors * np.float32(math.sqrt(vectors.shape[1]))) @ self.weight.T + self.bias
        if self.kind == "classification":
            raised = np.exp(outputs - outputs.max(1, keepdims=True))
            return np.asarray(raised / raised.sum(1, keepdims=True))
        if self.kind == "multi-label":
            return np.asarray(0.5 * (1 + np.tanh(outputs / 2)))  # the sigmoid, and no overflow
        return np.asarray(outputs * self.spread + self.mean)


@dataclass(frozen=True, slots=True, eq=False)
class TextTask:
    """A classification, several labels or a regression."""

    encoder: Encoder
    head: LabelHead

    @classmethod
    def load(cls, artifact: Artifact, *, threads: int = 0) -> Self:
        """What `export_task` stored."""
        return cls(
            OnnxEncoder.load(artifact, threads=threads), LabelHead.of(artifact.meta["head"], artifact.arrays)
        )

    def predict(self, texts: Sequence[str]) -> Vectors:
        """(n, labels) float32; a text in which there is nothing to read gets what the head says of nothing."""
        return self.head.predict(self.encoder.encode(texts))


@dataclass(frozen=True, slots=True, eq=False)
class PairTask:
    """How well items answer queries: the score is the product of the query's vector and the item's."""

    encoder: Encoder
    turn: Vectors
    scale: float

    @classmethod
    def load(cls, artifact: Artifact, *, threads: int = 0) -> Self:
        """What `export_task` stored of a ranking or a retrieval head."""
        about, encoder = artifact.meta["head"], OnnxEncoder.load(artifact, threads=threads)
        if about["kind"] == "ranking":
            return cls(encoder, artifact.arrays["turn.weight"], float(about["scale"]))
        if about["kind"] == "retrieval":
            return cls(
                encoder, np.zeros((encoder.dim, encoder.dim), np.float32), 1 / float(about["temperature"])
            )
        raise InvalidInput(f"a {about['kind']} head does not compare texts: open it as what it is")

    def queries(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32, not of unit norm."""
        return self.turned(self.encoder.encode(texts))

    def turned(self, vectors: Vectors) -> Vectors:
        """Queries' vectors out of those that the encoder gives."""
        return np.asarray(np.float32(self.scale) * (vectors + vectors @ self.turn.T))

    def items(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32 of unit norm, to be kept and searched."""
        return self.encoder.encode(texts)


@dataclass(frozen=True, slots=True, eq=False)
class TagTask:
    """Which tag each word of a text carries; `labels` names the tags."""

    tagger: Tagger
    labels: tuple[str, ...]

    @classmethod
    def load(cls, artifact: Artifact, *, threads: int = 0, batch_size: int = 64) -> Self:
        """What `export_task` stored of a head on words."""
        about = artifact.meta["head"]
        if about["kind"] != "tags":
            raise InvalidInput(f"a {about['kind']} head does not tag words: open it as what it is")
        return cls(
            Tagger.load(artifact, threads=threads, batch_size=batch_size), tuple(map(str, about["labels"]))
        )

    def predict(self, texts: Sequence[str]) -> list[Vectors]:
        """(words, tags) float32 a text, where words are what stands between white space.

        A word that was cut off, or that the tokenizer leaves out, gets a row of zeros, whose best is the first tag.
        """
        if isinstance(texts, str):
            raise InvalidInput(
                f"predict() takes a sequence of texts, got the bare string {texts[:40]!r}: pass a list"
            )
        return self.tagger.tags(texts, len(self.labels))


def open_task(artifact: Artifact, *, threads: int = 0) -> TextTask | PairTask | TagTask:
    """A stored task as what it is: one that speaks of a text, of a query and items, or of the words of a text."""
    if "head" not in artifact.meta:
        raise InvalidInput(f"{artifact.name} is no task: name one that export_task stored, as task-sentiment")
    kind = artifact.meta["head"]["kind"]
    if kind == "tags":
        return TagTask.load(artifact, threads=threads)
    if kind in ("ranking", "retrieval"):
        return PairTask.load(artifact, threads=threads)
    return TextTask.load(artifact, threads=threads)


class Tagger(OnnxEncoder):
    """Runs a graph that tells tags of tokens, as the encoder runs one that tells vectors."""

    def tags(self, texts: Sequence[str], count: int) -> list[Vectors]:
        """(words, count) a text: what is told of each word's first token."""
        encodings = self._tokenised(texts)
        places = [first_tokens(text, one.offsets) for text, one in zip(texts, encodings, strict=True)]
        found = [np.zeros((len(first), count), dtype=np.float32) for first in places]
        for rows, (told,) in self._answers([TAGS], encodings):
            for row, values in zip(rows, told, strict=True):
                seen = places[row] >= 0
                found[row][seen] = values[places[row][seen]]
        return found
