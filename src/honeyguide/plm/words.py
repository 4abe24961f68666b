"""The words of a text, and which token each begins with: what tags speak of, in training and in serving."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from honeyguide.types import Rows

_WORD = re.compile(r"\S+")


def words_of(text: str) -> list[str]:
    """What stands between white space."""
    return _WORD.findall(text)


def first_tokens(text: str, offsets: Sequence[tuple[int, int]]) -> Rows:
    """(words,) int64: the place of the first token of each word, -1 where none was read.

    `offsets` are where in the text each token begins and ends; a token that begins with white space belongs to the
    word after it.
    """
    begins = np.array([found.start() for found in _WORD.finditer(text)], dtype=np.int64)
    first = np.full(len(begins), -1, dtype=np.int64)
    for place in range(len(offsets) - 1, -1, -1):
        start, end = offsets[place]
        inside = text[start:end].lstrip()
        if inside:
            word = int(np.searchsorted(begins, end - len(inside), side="right")) - 1
            first[word] = place
    return first
