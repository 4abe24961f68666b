"""What the ranking benchmarks read: users' items in order, and the vectors that one encoder makes of the items."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from folders import item_texts, user_acts
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.plm.export import export
from honeyguide.plm.forms import encoder_of
from honeyguide.plm.vectors import catalogue_vectors
from honeyguide.types import Rows, Vectors
from rivals.exchange import Events

_CACHE = Path(tempfile.gettempdir()) / "honeyguide-benchmarks"
_MAX_TOKENS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """Items by row with their text vectors (n, d), and what users did with them, in order."""

    name: str
    vectors: Vectors
    sequences: Sequences

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.vectors)

    def taken(self, sequences: Sequences) -> Rows:
        """(n,): how often each item is taken in some sequences."""
        return np.bincount(sequences.tokens, minlength=self.items).astype(np.int64)


def read_shop(folder: Path, model: str) -> Shop:
    """The folder's `sequences.parquet` and `items.parquet`, its texts read by the encoder `model`, once."""
    ids, texts = item_texts(folder)
    users, items = user_acts(folder, ids)
    starts = np.concatenate([[0], np.cumsum(np.bincount(users))]).astype(np.int64)
    sequences = Sequences.of_items(items, starts)
    return Shop(folder.name, text_vectors(model, texts), sequences)


def text_vectors(model: str, texts: Sequence[str]) -> Vectors:
    """(n, d): what the encoder `model` makes of texts, each read once on this machine."""
    encoder = encoder_of(export(model, max_tokens=_MAX_TOKENS))
    return catalogue_vectors(encoder, texts, cache=_CACHE)


def as_events(sequences: Sequences, users: Rows | None = None) -> Events:
    """The same as rivals read it; `users` are their numbers where they are not 0, 1, 2."""
    numbers = np.arange(len(sequences), dtype=np.int64) if users is None else users
    places = np.arange(len(sequences.tokens)) - np.repeat(sequences.starts[:-1], sequences.lengths)
    return Events(np.repeat(numbers, sequences.lengths), sequences.tokens, places.astype(np.int64))
