"""The sequence model as it serves: a small transformer over a user's events, in numpy.

An item's vector is made of its content (text, price) by a learned map, and of a vector of its own as far as the log
speaks for it: `n / (n + shrink)` of it after n events. An item without any is all content, and so is a query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.interests.sequence.histories import FIRST, GAPS, Sequences
from honeyguide.types import Rows, State, Vectors

Classes = NDArray[np.integer[Any]]
_EPS = 1e-5
_NEVER = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network: `longest` events are read, `width` divides by `heads`."""

    width: int = 64
    blocks: int = 1
    heads: int = 1
    longest: int = 50
    sharpness: float = 0.0
    """Of cosines, where vectors have unit norm; 0 scores by inner products of vectors of any length."""

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.heads, self.longest) < 1 or self.width % self.heads:
            raise InvalidInput(
                f"width, blocks, heads and longest must be at least 1 and width divide by heads, got {self}"
            )


class SequenceNetwork:
    """Reads events and gives a vector; its inner product with an item's, and the item's bias, is the item's score.

    `vectors` (m, width) are those of n items and m - n queries, `bias` (n,) of the items. `weights` has the rest,
    by the names that training gives them.
    """

    def __init__(self, shape: Shape, vectors: Vectors, bias: Vectors, weights: State) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != shape.width or len(bias) > len(vectors):
            raise InvalidInput(
                f"vectors must be (m, {shape.width}) with m at least {len(bias)}, got {vectors.shape}"
            )
        self.shape, self.vectors, self.bias, self.weights = shape, vectors, bias, weights

    @property
    def items(self) -> int:
        """How many of the vectors are items'."""
        return len(self.bias)

    def embed(self, content: Vectors) -> Vectors:
        """(k, width): the vectors of things known by their content (k, c) alone."""
        found = content @ self.weights["content.weight"].T
        return _unit(found) if self.shape.sharpness else np.asarray(found)

    def read(self, sequences: Sequences) -> Vectors:
        """(u, width): what each user's newest events say of them; a user with none is read, too."""
        found = np.zeros((len(sequences), self.shape.width), dtype=np.float32)
        lengths = np.minimum(sequences.lengths, self.shape.longest)
        for length in np.unique(lengths).tolist():
            users = np.flatnonzero(lengths == length)
            at = sequences.starts[users + 1][:, None] - length + np.arange(length)
            found[users] = self.hidden(
                sequences.tokens[at], sequences.kinds[at], sequences.gaps[at], sequences.ahead[users]
            )
        return found

    def hidden(self, tokens: Rows, kinds: Classes, gaps: Classes, ahead: Classes) -> Vectors:
        """(u, width): the users whose events these are, each (u, l) with l at most `longest`, asked `ahead` (u,)."""
        w = self.weights
        x = self.vectors[tokens] + w["kinds.weight"][kinds] + w["gaps.weight"][gaps]
        nobody = np.broadcast_to(w["nobody"], (len(tokens), 1, self.shape.width))
        x = np.concatenate([nobody, x], axis=1) + w["places.weight"][: tokens.shape[1] + 1]
        coming = np.concatenate([gaps, ahead[:, None]], axis=1)
        coming[:, 0] = ahead if not tokens.shape[1] else FIRST
        x = x + w["ahead.weight"][coming]
        for block in range(self.shape.blocks - 1):
            x = self._block(f"blocks.{block}.", x, x)
        last = self._block(f"blocks.{self.shape.blocks - 1}.", x, x[:, -1:])
        found = _normed(last[:, 0], w["norm.weight"], w["norm.bias"])
        return self.shape.sharpness * _unit(found) if self.shape.sharpness else found

    def scores(self, hidden: Vectors, rows: Rows | None = None) -> Vectors:
        """(u, n) of all items, or of some rows: their logits for the users that `read` gave (u, width)."""
        if rows is None:
            return np.asarray(hidden @ self.vectors[: self.items].T + self.bias)
        return np.asarray(hidden @ self.vectors[rows].T + self.bias[rows])

    def score(self, sequences: Sequences) -> Vectors:
        """(u, n): the logits of all items for the users whose events these are."""
        return self.scores(self.read(sequences))

    def _block(self, name: str, x: Vectors, asking: Vectors) -> Vectors:
        """What a block makes of the places that ask, the last ones of `x` (u, l, width)."""
        w = {key.removeprefix(name): array for key, array in self.weights.items() if key.startswith(name)}
        mixed = self._attend(w, _normed(x, w["before.weight"], w["before.bias"]), asking.shape[1])
        asking = asking + mixed @ w["out.weight"].T + w["out.bias"]
        opened = _normed(asking, w["after.weight"], w["after.bias"]) @ w["inner.weight"].T + w["inner.bias"]
        opened = opened * (0.5 * (1 + erf(opened / np.sqrt(np.float32(2)))))
        return np.asarray(asking + opened @ w["outer.weight"].T + w["outer.bias"])

    def _attend(self, w: State, x: Vectors, asking: int) -> Vectors:
        users, length, width = x.shape
        heads = self.shape.heads
        both = (x @ w["mix.weight"].T + w["mix.bias"]).reshape(users, length, 3, heads, width // heads)
        query, key, value = both.transpose(2, 0, 3, 1, 4)
        query = query[:, :, length - asking :]
        scores = query @ key.swapaxes(2, 3) / np.sqrt(np.float32(width // heads))
        ahead = np.triu(np.ones((asking, length), dtype=np.bool_), k=1 + length - asking)
        scores = np.where(ahead, _NEVER, scores)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ value
        return np.asarray(mixed.transpose(0, 2, 1, 3).reshape(users, asking, width))

    def state(self) -> tuple[State, dict[str, Any]]:
        """The network as named arrays and JSON."""
        shape = {name: getattr(self.shape, name) for name in Shape.__slots__}
        return {"vectors": self.vectors, "bias": self.bias, **self.weights}, shape

    @classmethod
    def from_state(cls, arrays: State, meta: dict[str, Any]) -> Self:
        """The network whose `state()` this is; DamagedArtifact where something is missing."""
        try:
            shape = Shape(**{name: meta[name] for name in Shape.__slots__})
            weights = {name: array for name, array in arrays.items() if name not in ("vectors", "bias")}
            if len(weights["gaps.weight"]) != GAPS:
                raise DamagedArtifact(
                    "the sequence model tells times apart as it did before. Make it anew with: honeyguide fit"
                )
            return cls(shape, arrays["vectors"], arrays["bias"], weights)
        except KeyError as error:
            raise DamagedArtifact(
                f"the sequence model has no {error}. Make it anew with: honeyguide fit"
            ) from None


def _unit(x: Vectors) -> Vectors:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12), dtype=np.float32)


def _normed(x: Vectors, weight: Vectors, bias: Vectors) -> Vectors:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(_EPS))
    return np.asarray(centred / spread * weight + bias)
