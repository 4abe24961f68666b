"""What a query may mean: by its words and by its vector, then by what the user wants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.errors import InvalidInput
from honeyguide.retrieve.exact import largest
from honeyguide.retrieve.words import WordIndex, words_of
from honeyguide.shop.finding import Finding
from honeyguide.types import Floats, Rows

_FOUND = 100  # items that match best: the user's wishes put these in order, and bring no others
_WANT = 0.2  # what the user wants against how well it matches: it settles between alike matches
_LONGEST = 500  # characters of a query that are read
_MEANT = 0.5  # an item is said to mean the same from this cosine on


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The items that match a query best: `rows` (m,); over all n items, `words` and `meaning` are scores in 0..1."""

    rows: Rows
    words: Floats
    meaning: Floats

    def reranked(self, rows: Rows, *wishes: Floats) -> Floats:
        """(r,): how well some items match, in 0..1, and 0.2 of each of the ways in which they are wanted (r,)."""
        wanted = sum(_span(wish) for wish in wishes)
        return np.asarray((self.words[rows] + self.meaning[rows]) / 2 + _WANT * wanted)

    def reasons(self, rows: Rows) -> tuple[str, ...]:
        """Why each of some items was found."""
        return tuple(_why(float(self.words[row]), float(self.meaning[row])) for row in rows.tolist())


class Search:
    """Finds items of one fitted shop by a query."""

    def __init__(self, catalog: Catalog, finding: Finding) -> None:
        self._catalog = catalog
        self._finding = finding
        self._put = np.empty(0, dtype=np.int64)
        self._base = self

    def restocked(self, catalog: Catalog, finding: Finding, put: Rows) -> Search:
        """The same after items were put at these rows (m,): their words stand in an index beside the fitted ones."""
        found = Search(catalog, finding)
        found._put, found._base = put, self
        return found

    @cached_property
    def _words(self) -> WordIndex:
        return WordIndex(self._catalog.texts)

    @cached_property
    def _words_put(self) -> WordIndex:
        return WordIndex([self._catalog.texts[row] for row in self._put.tolist()], beside=self._base._words)

    def _scores(self, asked: str) -> Floats:
        """(n,): how well each item has the words."""
        found = self._base._words.scores(asked)
        if not len(self._put):
            return found
        found = np.concatenate([found, np.zeros(len(self._catalog) - len(found))])
        found[self._put] = self._words_put.scores(asked)
        return found

    def matches(self, query: str, allowed: NDArray[np.bool_]) -> Matches:
        """The best of the allowed items: BM25 as a share of the best one's, and the cosine of the vectors, alike."""
        asked = " ".join(query[:_LONGEST].split())
        if not words_of(asked):
            raise InvalidInput(f"a query needs a word to look for, got {query[:64]!r}")
        words = self._scores(asked)
        words /= max(words.max(initial=0.0), 1e-9)
        finding = self._finding
        meaning = np.maximum(finding.text_likeness(finding.query_vector(asked)).astype(np.float64), 0.0)
        rows = np.flatnonzero(allowed & (words + meaning > 0))
        return Matches(rows[largest((words + meaning)[rows], _FOUND)] if len(rows) else rows, words, meaning)


def _span(wish: Floats) -> Floats:
    """(n,) in 0..1: from the least wanted to the most; 0 where all are wanted alike."""
    low = wish.min(initial=np.inf)
    width = wish.max(initial=-np.inf) - low
    return (wish - low) / width if width > 0 else np.zeros(len(wish))


def _why(words: float, meaning: float) -> str:
    said = []
    if words > 0:
        said.append("has the query's words" if words > 0.999 else f"has {words:.0%} of what its words weigh")
    if meaning >= _MEANT:
        said.append(f"means the same by {meaning:.0%}")
    return "; ".join(said) or "the nearest in meaning"
