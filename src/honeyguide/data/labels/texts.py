"""When two texts are the same text: they differ only in case, punctuation and white space."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.textclean import normalise

_APOSTROPHES = re.compile("['’‘`]")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_TELLING = "#%&@"
"""Punctuation that changes what is said."""


def same_text(text: str) -> str:
    """The key that a text shares with its near-duplicates: NFKC, case folded, without punctuation and doubled blanks.

    Symbols stay (a smiley says something), and a text of nothing but punctuation is its own key.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", normalise(text)).casefold())
    words = _BETWEEN_WORDS.sub(_kept, _APOSTROPHES.sub("", plain)).split()
    return " ".join(words) or " ".join(plain.split())


def text_groups(texts: Iterable[str]) -> NDArray[np.int64]:
    """(n,): the same number for texts that are the same, counted up from 0 as they come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(same_text(text), len(numbers)) for text in texts], dtype=np.int64)


def agreeing(group: NDArray[np.int64], label: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """(n,): which rows have the label that all rows of their group have."""
    lowest = np.full(int(group.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    highest = np.full(len(lowest), np.iinfo(np.int64).min)
    np.minimum.at(lowest, group, label)
    np.maximum.at(highest, group, label)
    return np.asarray((lowest == highest)[group])


def _kept(found: re.Match[str]) -> str:
    """What stands between words without its punctuation; marks belong to the letter before them."""
    between = found.group()
    if between == " ":
        return between
    return "".join(letter if _tells(letter) else " " for letter in between)


def _tells(letter: str) -> bool:
    return letter in _TELLING or unicodedata.category(letter)[0] in "MSC"
