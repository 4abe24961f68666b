"""Items by the words of a query: BM25 over their texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats

_WORD = re.compile(r"\d+(?:[./]\d+)*|[^\W\d]\w*")  # 2.5 and 3/4 are one word, cream/milk is two
_K1, _B = 1.2, 0.4  # a title says a word once, and is long because the thing is, not because it is wordy


class WordIndex:
    """Okapi BM25 (Robertson and Zaragoza, 2009) over texts in any script that parts its words.

    `beside` another index it weighs words as that one does: the scores of both can then be compared.
    """

    def __init__(self, texts: Sequence[str], *, beside: WordIndex | None = None) -> None:
        if isinstance(texts, str):
            raise InvalidInput(f"WordIndex takes a sequence of texts, got the bare string {texts[:40]!r}")
        self._known: dict[str, int] = {}
        held: list[tuple[int, int, int]] = []
        for item, text in enumerate(texts):
            for word, count in Counter(words_of(text)).items():
                held.append((self._known.setdefault(word, len(self._known)), item, count))
        word_of, item_of, times = np.array(held, dtype=np.int64).reshape(-1, 3).T
        n = len(texts)
        length = np.bincount(item_of, weights=times, minlength=n)
        having = np.bincount(word_of, minlength=len(self._known))
        rarity = np.log1p((n - having + 0.5) / (having + 0.5))
        usual = max(float(length.mean()) if n else 0.0, 1e-9)
        if beside is not None:
            usual, rarity = beside._usual, beside._rarities(list(self._known))
        self._texts: int = n
        self._usual: float = usual
        self._rarity: Floats = rarity
        shrunk = _K1 * (1 - _B + _B * length / usual)
        weight = rarity[word_of] * times * (_K1 + 1) / (times + shrunk[item_of])
        self._weights = csr_array((weight, (word_of, item_of)), shape=(len(self._known), n))

    def _rarities(self, words: Sequence[str]) -> Floats:
        """(m,): how much some words weigh; what is in none of the texts weighs most."""
        unseen = np.log1p((self._texts + 0.5) / 0.5)
        known = (self._known.get(word) for word in words)
        return np.array([unseen if at is None else self._rarity[at] for at in known], dtype=np.float64)

    def scores(self, query: str) -> Floats:
        """(n,): how well each text has the query's words; 0 where it has none of them."""
        asked = Counter(self._known[word] for word in words_of(query) if word in self._known)
        found = np.zeros(self._weights.shape[1])
        starts, items, weights = self._weights.indptr, self._weights.indices, self._weights.data
        for word, count in asked.items():
            part = slice(starts[word], starts[word + 1])
            found[items[part]] += count * weights[part]
        return found


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and without the plain English plural.

    >>> words_of("Running SHOES, 2.5 oz glass")
    ['running', 'shoe', '2.5', 'oz', 'glass']
    """
    return [_singular(word) for word in _WORD.findall(text.casefold())]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] not in "su" else word
