"""Items beside an item: what is like it, and what goes with it, with the numbers that say so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.errors import InvalidInput
from honeyguide.interests.related import EVIDENCE, Pairs, basket_weight, sorts_of
from honeyguide.retrieve.exact import largest
from honeyguide.shop.finding import Finding
from honeyguide.types import Floats, Rows

_NEAR = 200  # items with the nearest texts that are weighed against what baskets say
_HAIR = 1e-3  # a difference in likeness that is none: what is taken more comes first there
_ALIKE = 0.5  # a text is said to be like another one from this cosine on


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An item beside another one; `why` says in words what `text` and the counts say in numbers."""

    item_id: str
    score: float
    """By which it was chosen: likeness, or the evidence (Dunning's G2) that it goes along."""
    text: float
    """The cosine of the two texts."""
    baskets: int
    """Baskets (one user's day) that hold both."""
    support: float
    """Their share of all baskets."""
    confidence: float
    """Their share of the asked item's baskets."""
    lift: float
    """How many times as often as by chance; 0 where they share no counted basket."""
    why: str


class Neighbours:
    """Answers for the items of one fitted shop."""

    def __init__(self, catalog: Catalog, finding: Finding) -> None:
        self._catalog = catalog
        self._finding = finding

    @cached_property
    def _sorts(self) -> Rows:
        return sorts_of(self._catalog)

    def similar(self, row: int, k: int, allowed: NDArray[np.bool_]) -> tuple[Neighbour, ...]:
        """At most `k` items that may stand for this one, the most alike first.

        Baskets weigh by how often this item was taken, and each neighbour's by how many it shares: a new item is like
        others by its text alone, and a new neighbour loses nothing. Of equal ones the more taken comes first.
        """
        _check_k(k)
        related, text = self._finding.related, self._text(row)
        near, pairs = related.neighbours(row)
        alike = np.zeros(len(text))
        alike[near] = pairs.alike / max(pairs.alike.max(initial=0.0), 1e-9)
        weight = basket_weight(int(related.taken[row]))
        score = (np.maximum(text, 0.0) + weight * alike) / (1 + weight)
        rank = _HAIR * related.taken / (related.taken + 10)
        free = allowed.copy()
        free[row] = False
        found = np.union1d(_best(text + rank, free, _NEAR), near[free[near]])
        best = found[largest((score + rank)[found], k)] if len(found) else found
        return self._told(row, best, score, text)

    def together(self, row: int, k: int, allowed: NDArray[np.bool_]) -> tuple[Neighbour, ...]:
        """At most `k` items that go along with this one, by Dunning's G2: the most evidence first.

        Those of other categories come first: another one of the same sort is taken instead, or as one more, and so
        only fills what is left. What chance alone might bring is not shown.
        """
        _check_k(k)
        related, text = self._finding.related, self._text(row)
        near, pairs = related.neighbours(row)
        evidence = np.zeros(len(text))
        evidence[near] = pairs.surprise
        near = near[allowed[near] & (evidence[near] >= EVIDENCE)]
        same = self._sorts[near] == self._sorts[row]
        order = np.lexsort((near, -evidence[near], same))
        return self._told(row, near[order[:k]], evidence, text, by_text=False)

    def _text(self, row: int) -> Floats:
        """(n,): the cosine of the item's text with all."""
        own = self._finding.text_vectors(np.array([row]))[0]
        return self._finding.text_likeness(own).astype(np.float64)

    def _told(
        self, row: int, rows: Rows, score: Floats, text: Floats, *, by_text: bool = True
    ) -> tuple[Neighbour, ...]:
        said = text if by_text else np.zeros(len(text))
        related = self._finding.related
        near, counted = related.neighbours(row)
        both = np.zeros(len(text), dtype=np.int64)
        both[near] = counted.both
        pairs = Pairs(
            both[rows], np.full(len(rows), related.taken[row]), related.taken[rows], related.baskets
        )
        return tuple(
            Neighbour(
                item_id=self._catalog.ids[other],
                score=float(score[other]),
                text=float(text[other]),
                baskets=int(pairs.both[at]),
                support=float(pairs.support[at]),
                confidence=float(pairs.confidence[at]),
                lift=float(pairs.lift[at]),
                why=_why(said[other], int(pairs.both[at]), float(pairs.lift[at])),
            )
            for at, other in enumerate(rows.tolist())
        )


def _why(text: float, both: int, lift: float) -> str:
    said = []
    if text > 0.999:
        said.append("the texts are the same")
    elif text >= _ALIKE:
        said.append(f"the texts are {text:.0%} alike")
    if both:
        said.append(f"taken together on {both:,} days, {lift:.1f} times as often as by chance")
    return "; ".join(said) or "the nearest there is"


def _best(score: Floats, free: NDArray[np.bool_], k: int) -> Rows:
    rows = np.flatnonzero(free)
    return rows[largest(score[rows], k)]


def _check_k(k: int) -> None:
    if k < 1:
        raise InvalidInput(f"k must be at least 1, got {k}")
