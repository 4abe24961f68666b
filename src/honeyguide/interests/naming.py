"""Names for interests in the shop's own words: class-based TF-IDF over words and pairs of words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter

import numpy as np
from scipy.sparse import csc_array, csr_array

from honeyguide.interests.words import AND, stem, terms
from honeyguide.types import Floats, Rows

Term = tuple[str, ...]
"""One or two words, as they were written."""

_ENOUGH = 0.7  # of an interest's weight: a term that speaks for so much names it alone
_RARE = 0.08  # of what is left: a term that speaks for less does not stand for the interest
_PAIR = 1.4  # two words say more than one
# a word said of more than a tenth of the shop, and of more than three mean groups, tells none of them apart
_EVERYWHERE = 0.1
_GROUPS = 3.0
_MOST_TERMS = 4  # in a name that has to be told from others
_FURTHER = 20  # terms to fall back on where the best ones are taken
_LONGER = 0.25  # of the score, for every term more than it takes
_TOO_LONG = 1.0  # of the score, where that are more terms than a name should have: it is then chosen in need
_FURTHER_SCORE = 0.8
_ALONE_SCORE = 0.7  # one word where two say more
_NAMELESS = "Mixed items"


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """What the items say: `text_of` (n,) is each item's distinct text, `says` (m, t) its terms as 0 and 1.

    `weights` (n,) say how much an item counts; forms of one word are one term, written as it mostly is.
    """

    text_of: Rows
    weights: Floats
    says: csr_array
    terms: tuple[Term, ...]

    @classmethod
    def of(cls, texts: Sequence[str], weights: Floats) -> Vocabulary:
        """The vocabulary of n texts."""
        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        text_of = np.array([distinct[text] for text in texts], dtype=np.int64)
        weight = np.bincount(text_of, weights=weights, minlength=len(distinct))
        column: dict[Term, int] = {}
        written: dict[Term, dict[Term, float]] = defaultdict(lambda: defaultdict(float))
        rows, columns = [], []
        for text, row in distinct.items():
            for term in sorted(terms(text)):
                key = tuple(map(stem, term))
                rows.append(row)
                columns.append(column.setdefault(key, len(column)))
                written[key][term] += float(weight[row])
        says = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(distinct), len(column)))
        says.data[:] = 1.0  # a text that says both cookie and cookies says it once
        return cls(
            text_of, weights, says, tuple(max(written[key].items(), key=itemgetter(1))[0] for key in column)
        )

    def weight_in(self, groups: Rows, groups_n: int) -> csr_array:
        """(groups_n, m): how much each distinct text weighs in each group of items (n,)."""
        return csr_array((self.weights, (groups, self.text_of)), shape=(groups_n, self.says.shape[0]))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A name that a group could have: `score` is 1 for what the words say is best; `said` are its words' stems."""

    name: str
    score: float
    said: frozenset[str]

    @classmethod
    def of(cls, parts: Sequence[str], score: float) -> Candidate:
        """From the terms that it is made of."""
        name = _written(parts)
        return cls(name, score, stems(name))


def stems(name: str) -> frozenset[str]:
    """What a name says, whatever the form of its words."""
    return frozenset(stem(word) for word in name.lower().replace(",", "").split() if word != AND)


def name_candidates(vocabulary: Vocabulary, weight: csr_array, *, longest: int) -> list[list[Candidate]]:
    """Names for g groups whose texts weigh (g, m), of at most `longest` terms, or more to be told from others.

    The best term of a group is the one with the highest class-based TF-IDF (Grootendorst 2022): its share of the
    group's weight times log(1 + all weight / the term's weight overall). Further terms speak for what is not yet
    said.
    """
    groups_n = weight.shape[0]
    overall = np.asarray((weight @ vocabulary.says).sum(axis=0)).ravel()
    share = overall / max(float(weight.sum()), 1e-9)
    rarity = np.log1p(1 / np.maximum(share, 1e-9))
    rarity *= np.array([1.0 if len(term) == 1 else _PAIR for term in vocabulary.terms])
    telling = rarity * (share <= max(_EVERYWHERE, _GROUPS / max(groups_n, 1)))
    found = []
    for group in range(groups_n):
        said = _Said.of(vocabulary, weight[[group]])
        ranked = said.telling_terms(telling) or said.telling_terms(rarity)
        found.append(_candidates(ranked, said.further_terms(telling), longest))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What one group says: `weight` (k,) of its texts, and its `terms` (c,) that are not rare in it.

    `says` (k, c) are its texts' terms, `columns` (c,) the terms' places in the vocabulary, `stems` (c,) their words.
    """

    weight: Floats
    says: csc_array
    columns: Rows
    terms: tuple[Term, ...]
    stems: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary, weight: csr_array) -> _Said:
        """From what each text weighs in the group, (1, m)."""
        texts = vocabulary.says[weight.indices]
        share = np.asarray(texts.T @ weight.data).ravel() / max(float(weight.sum()), 1e-9)
        columns = np.flatnonzero(share >= _RARE)
        terms = tuple(vocabulary.terms[column] for column in columns.tolist())
        words = tuple(frozenset(stem(word) for word in term if word != AND) for term in terms)
        return cls(weight.data, texts[:, columns].tocsc(), columns, terms, words)

    def further_terms(self, rarity: Floats) -> list[tuple[Term, float]]:
        """The terms that tell most of the group, each taken by itself, with a score of 1 for the best."""
        score = self._share(self.weight) * rarity[self.columns]
        best = np.argsort(-score, kind="stable")[:_FURTHER].tolist()
        return [(self.terms[at], float(score[at] / score[best[0]])) for at in best if score[at] > 0]

    def telling_terms(self, rarity: Floats) -> list[tuple[Term, float]]:
        """Terms, each the best for what those before left unsaid, with the share of the group said until there."""
        left, allowed = self.weight.copy(), np.ones(len(self.terms), dtype=np.bool_)
        chosen: list[tuple[Term, float]] = []
        said: frozenset[str] = frozenset()
        while allowed.any() and len(chosen) < _MOST_TERMS:
            share = self._share(left)
            score = np.where(allowed & (share >= _RARE), share * rarity[self.columns], 0.0)
            best = int(score.argmax())
            if score[best] <= 0:
                break
            left[self.says.indices[slice(*self.says.indptr[best : best + 2])]] = 0.0
            chosen.append((self.terms[best], float(1 - left.sum() / max(float(self.weight.sum()), 1e-9))))
            said |= self.stems[best]
            allowed &= np.array([said.isdisjoint(words) for words in self.stems])
        return chosen

    def _share(self, weight: Floats) -> Floats:
        return np.asarray(self.says.T @ weight).ravel() / max(float(self.weight.sum()), 1e-9)


def _candidates(
    ranked: list[tuple[Term, float]], others: list[tuple[Term, float]], longest: int
) -> list[Candidate]:
    """The shortest name that says enough; longer ones; what else is telling; then what says less."""
    enough = next((i + 1 for i, (_, said) in enumerate(ranked) if said >= _ENOUGH), len(ranked))
    parts = [" ".join(term) for term, _ in ranked]
    best = min(enough, longest)
    named = [
        Candidate.of(parts[:length], 1.0 - _LONGER * (length - best) - _TOO_LONG * (length > longest))
        for length in range(best, len(parts) + 1)
        if length
    ]
    known = {stem(word) for word in ranked[0][0]} if ranked else set()
    for term, score in others:
        if known != {*map(stem, term)}:
            joined = [" ".join(term)] if len(term) > 1 else [*parts[:1], *term]
            named.append(Candidate.of(joined, _FURTHER_SCORE * score))
            if len(term) == 1:
                named.append(Candidate.of(term, _ALONE_SCORE * score))
    named += [Candidate.of(parts[:length], _ALONE_SCORE * ranked[length - 1][1]) for length in range(1, best)]
    return sorted({one.name: one for one in reversed(named)}.values(), key=lambda one: -one.score)


def distinct_name(candidates: Sequence[Candidate], taken: Collection[str]) -> str:
    """The best name that is not taken, or the best one with a number."""
    for one in candidates:
        if one.name not in taken:
            return one.name
    stock = candidates[0].name if candidates else _NAMELESS
    return next(name for number in count(1) if (name := f"{stock} {number}".removesuffix(" 1")) not in taken)


def _written(parts: Sequence[str]) -> str:
    """Shampoo, conditioner & hair gel."""
    if len(parts) < 2 or any(AND in part for part in parts):
        name = ", ".join(parts)
    else:
        name = f"{', '.join(parts[:-1])} {AND} {parts[-1]}"
    return name[:1].upper() + name[1:]
