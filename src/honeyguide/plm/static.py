"""The encoder that only looks up: a text's vector is the sum of its tokens' rows in a table; numpy, no network.

What Wieting et al. (2016) and Arora et al. (2017) found to be hard to beat for its price; the table is distilled from
a transformer by `honeyguide.plm.distill.table`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from honeyguide.artifacts import Artifact
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.files import TOKENIZER
from honeyguide.plm.readable import readable
from honeyguide.types import Rows, Vectors

STATIC = "static-encoder"
_CHARS_PER_TOKEN = 32
_SLICE = 4096  # texts that are read together: what lies between two stages stays in the processor's cache
_GATHER = 2048  # rows that are gathered at once, for the same reason
_REMEMBERED = 1_000_000  # characters of words whose tokens are kept
_NOTHING = 1e-12  # a sum this short is what rounding has left of nothing


class StaticEncoder:
    """Text to unit vectors out of `table` (tokens, dim); a text in which there is nothing to read gives zero.

    With `by_words` the tokenizer reads every word by itself, so that a word's tokens are found once and remembered.
    Rows are added in the text's own order: a vector does not depend on the batch, to the bit.
    """

    def __init__(
        self, table: Vectors, tokenizer: Tokenizer, *, version: str, max_tokens: int, by_words: bool
    ) -> None:
        if table.ndim != 2 or len(table) < tokenizer.get_vocab_size():
            raise InvalidInput(
                f"the table needs a row for each of {tokenizer.get_vocab_size()} tokens, got {table.shape}"
            )
        if max_tokens < 1:
            raise InvalidInput(f"max_tokens must be at least 1, got {max_tokens}")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._table = np.ascontiguousarray(table, dtype=np.float32)
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._by_words = by_words
        self._known: dict[str, tuple[int, ...]] = {}
        self._remembered = 0
        self.version = version

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """The encoder that `distil_table` stored."""
        try:
            tokenizer = Tokenizer.from_file(str(artifact.folder / TOKENIZER))
        except Exception as error:  # the library raises bare Exceptions
            raise DamagedArtifact(f"{artifact.folder}: {error}. Distil the table anew") from None
        return cls(
            artifact.arrays["table"].astype(np.float32),
            tokenizer,
            version=artifact.version,
            max_tokens=int(artifact.meta["max_tokens"]),
            by_words=bool(artifact.meta["by_words"]),
        )

    @property
    def dim(self) -> int:
        """How many components a vector has."""
        return int(self._table.shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32; `[]` gives (0, dim); a bare `str` raises InvalidInput."""
        if isinstance(texts, str):
            raise InvalidInput(
                f"encode() takes a sequence of texts, got the bare string {texts[:40]!r}: pass a list"
            )
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for first in range(0, len(texts), _SLICE):
            part = texts[first : first + _SLICE]
            add_rows(self._table, *self._tokens(part), out=vectors[first : first + _SLICE])
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        vectors[norms < _NOTHING] = 0
        vectors /= np.maximum(norms, _NOTHING)[:, None]
        return vectors

    def _tokens(self, texts: Sequence[str]) -> tuple[Rows, Rows]:
        """The ids of all texts one after the other, and how many each text has."""
        longest = self._max_tokens * _CHARS_PER_TOKEN
        given = [readable(text, longest) for text in texts]
        found = self._words(given) if self._by_words else self._whole(given)
        cut = [ids[: self._max_tokens] for ids in found]
        counts = np.fromiter(map(len, cut), dtype=np.int64, count=len(cut))
        return np.fromiter(chain.from_iterable(cut), dtype=np.int64, count=int(counts.sum())), counts

    def _whole(self, texts: list[str]) -> Iterable[list[int]]:
        return (one.ids for one in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))

    def _words(self, texts: list[str]) -> Iterable[list[int]]:
        words = [text.split(" ") for text in texts]
        known = self._known
        # sorted, for a set has another order in every process and errors should be found again
        fresh = sorted(set(chain.from_iterable(words)).difference(known))
        if fresh:
            known.update(zip(fresh, map(tuple, self._whole(fresh)), strict=True))
            self._remembered += sum(map(len, fresh))
            if self._remembered > _REMEMBERED:
                self._known, self._remembered = {}, 0  # whoever reads in another thread keeps the old one
        return (list(chain.from_iterable(map(known.__getitem__, some))) for some in words)


def add_rows(table: Vectors, ids: Rows, counts: Rows, *, out: Vectors) -> None:
    """Set `out[i]` to the sum of text i's rows of `table`; `ids` (m,) lie text by text, `counts` (n,) of each.

    Texts of equally many tokens are gathered together, so that one sum serves them all.
    """
    starts = np.cumsum(counts) - counts
    order = np.argsort(counts, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(counts[order])) + 1):
        length = int(counts[rows[0]]) if len(rows) else 0
        if not length:
            continue
        places: NDArray[np.int64] = np.arange(length)
        step = max(1, _GATHER // length)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            out[some] = table[ids[starts[some][:, None] + places]].sum(1)
