"""Words that stand for each other, learned from a shop's own co-clicks: no thesaurus knows how its users call things.

Two words are taken for synonyms where three things come together: texts with the one lead to the same items as texts
with the other (a query leads to what was clicked, an item to what was taken with it), both stand beside the same
words, and they hardly ever stand in one text. The first alone would pair "frozen" with "pizza"; the second, the idea
of Harris (1954), alone would pair "red" with "large".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from honeyguide.errors import InvalidInput
from honeyguide.types import Rows

_LETTERS = re.compile(r"(?<!\w)[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_]))+(?!\w)")
_TOGETHER = 0.1  # of the texts with the rarer word: in more than these both stand, and they say two things
_DEVIATIONS = 2.0
_SHARED = 3  # clues: that two words have fewer in common is chance
_BLOCK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Leads:
    """p times a text led to an item: `source` (p,) rows of `texts`, `target` (p,) rows of `items`, the items' texts.

    From queries: the query and the item that was clicked. From behaviour: `texts` are the items' own and each item
    led to the one that was taken with it.
    """

    texts: Sequence[str]
    items: Sequence[str]
    source: Rows
    target: Rows

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise InvalidInput(f"a lead needs two rows, got {len(self.source)} and {len(self.target)}")
        for rows, texts, name in ((self.source, self.texts, "source"), (self.target, self.items, "target")):
            if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(texts):
                raise InvalidInput(
                    f"{name} must hold rows in 0..{len(texts) - 1}, got {rows.min()}..{rows.max()}"
                )


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Per word, in small letters, what may stand for it and how likely, likeliest first; shares sum to 1."""

    of: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)

    def draw(self, word: str, rng: np.random.Generator) -> str | None:
        """One that may stand for `word`, with its capitals and punctuation; None where none is known."""
        found = _LETTERS.search(word)
        known = self.of.get(found.group().casefold()) if found else None
        if not known or not found:
            return None
        place = int(np.searchsorted(np.cumsum([share for _, share in known]), rng.random(), side="right"))
        new = known[min(place, len(known) - 1)][0]
        old = found.group()
        if old.isupper():
            new = new.upper()
        elif old[0].isupper():
            new = new[0].upper() + new[1:]
        return word[: found.start()] + new + word[found.end() :]


def learn_synonyms(
    leads: Sequence[Leads], *, least: int = 5, most: int = 3, alike: float = 0.25, words: int = 20_000
) -> Synonyms:
    """What `leads` say: at most `most` synonyms a word, of a likeness of `alike` or more.

    Only words in `least` distinct texts that led somewhere count, and of these the `words` most frequent. Words with
    a digit in them are sizes and models: nothing stands for them.
    """
    if least < 1 or most < 1 or words < 1 or not 0 < alike <= 1:
        raise InvalidInput("least, most and words must be at least 1, and alike above 0 and at most 1")
    used, items, clues = _used(leads)
    frequent = _frequent(used, least, words)
    if not frequent:
        return Synonyms()
    row_of = {word: row for row, word in enumerate(frequent)}
    stands = _table([{word for word in text if word in row_of} for text in used], row_of)
    near = tuple(_weighed(stands.T @ _table(some), _DEVIATIONS) for some in (items, clues))
    beside = _weighed(_beside(used, row_of), 0)
    counts = stands.sum(axis=0)
    found: dict[str, tuple[tuple[str, float], ...]] = {}
    for first in range(0, len(frequent), _BLOCK):
        block = slice(first, min(first + _BLOCK, len(frequent)))
        # where there are few clicks two items are seldom the same: then their words say how alike they are
        leading = np.maximum(*(_cosines(some, block) * _backed(some, block) for some in near))
        likeness = np.sqrt(leading * _cosines(beside, block))
        both = (stands[:, block].T @ stands).toarray()
        likeness[both > _TOGETHER * np.minimum(counts[block, None], counts[None, :])] = 0
        for row, scores in enumerate(likeness, first):
            if best := _best(scores, row, most, alike):
                total = sum(float(scores[other]) for other in best)
                found[frequent[row]] = tuple((frequent[o], float(scores[o]) / total) for o in best)
    return Synonyms(found)


def words_of(text: str) -> list[str]:
    """The words that may have synonyms, in small letters: two letters at least, no digits."""
    return [match.group().casefold() for match in _LETTERS.finditer(text)]


def _best(scores: NDArray[np.float64], row: int, most: int, alike: float) -> list[int]:
    """The most alike others, ties to the lower row, which is the more frequent word."""
    order = np.argsort(-scores, kind="stable")[: most + 1]
    return [int(other) for other in order if other != row and scores[other] >= alike][:most]


_Text = tuple[str, ...]


def _used(leads: Sequence[Leads]) -> tuple[list[_Text], list[set[str]], list[set[str]]]:
    """The distinct texts that led somewhere, as words; and for each the items it led to and the words of these."""
    row_of: dict[_Text, int] = {}
    items: list[set[str]] = []
    words: list[set[str]] = []
    catalogues: dict[int, int] = {}
    for some in leads:  # one catalogue: an item is the same whatever led to it
        catalogue = catalogues.setdefault(id(some.items), len(catalogues))
        told = {target: words_of(some.items[target]) for target in set(some.target.tolist())}
        for source, target in sorted(set(zip(some.source.tolist(), some.target.tolist(), strict=True))):
            row = row_of.setdefault(tuple(words_of(some.texts[source])), len(row_of))
            if row == len(items):
                items.append(set())
                words.append(set())
            items[row].add(f"{catalogue}.{target}")
            words[row].update(told[target])
    return list(row_of), items, words


def _frequent(used: Iterable[_Text], least: int, words: int) -> list[str]:
    counts: dict[str, int] = {}
    for text in used:
        for word in set(text):
            counts[word] = counts.get(word, 0) + 1
    kept = [word for word, count in counts.items() if count >= least]
    return sorted(kept, key=lambda word: (-counts[word], word))[:words]


def _table(sets: Sequence[set[str]], column_of: Mapping[str, int] | None = None) -> csr_array:
    """(sets, members) float64: 1 where a member is in a set."""
    columns = column_of or {name: column for column, name in enumerate(sorted(set().union(*sets)))}
    members = np.array([columns[name] for some in sets for name in sorted(some)], dtype=np.int64)
    starts = np.cumsum([0, *map(len, sets)])
    return csr_array((np.ones(len(members)), members, starts), shape=(len(sets), len(columns)))


def _beside(used: Sequence[_Text], row_of: Mapping[str, int]) -> csr_array:
    """(words, neighbours) float64: how often each stands before and after each word, the ends of a text included."""
    pairs = []
    for text in used:
        for place, word in enumerate(text):
            if word in row_of:
                pairs.append((row_of[word], f"<{text[place - 1] if place else ''}"))
                pairs.append((row_of[word], f">{text[place + 1] if place + 1 < len(text) else ''}"))
    columns = {name: column for column, name in enumerate(sorted({name for _, name in pairs}))}
    at = (np.array([row for row, _ in pairs]), np.array([columns[name] for _, name in pairs]))
    return csr_array((np.ones(len(pairs)), at), shape=(len(row_of), len(columns)))


def _weighed(counts: csr_array, deviations: float) -> csr_array:
    """Counts (words, clues) as rows of unit norm: pointwise mutual information (Bullinaria & Levy 2007).

    Only clues that are more frequent than chance would have them count: words that tell nothing are then like none.
    """
    by_row, by_column = counts.sum(axis=1), counts.sum(axis=0)
    at = counts.tocoo()
    expected = by_row[at.row] * by_column[at.col] / counts.sum()
    surprising = at.data > expected + deviations * np.sqrt(expected)
    told = np.where(surprising, np.log(at.data / expected), 0.0)
    weights = csr_array((told, (at.row, at.col)), shape=counts.shape)
    norms = np.sqrt((weights * weights).sum(axis=1))
    return csr_array(diags_array(1 / np.where(norms > 0, norms, 1.0)) @ weights)


def _cosines(rows: csr_array, block: slice) -> NDArray[np.float64]:
    return np.asarray((rows[block] @ rows.T).toarray())


def _backed(rows: csr_array, block: slice) -> NDArray[np.bool_]:
    """Which pairs of words have enough clues in common."""
    there = csr_array((np.ones(len(rows.data)), rows.indices, rows.indptr), shape=rows.shape)
    there.data[rows.data == 0] = 0
    return np.asarray((there[block] @ there.T).toarray() >= _SHARED)
