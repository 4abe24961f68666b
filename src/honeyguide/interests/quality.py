"""How good a tree of interests is: beside the shop's own categories, in itself, and by what is taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from honeyguide.errors import InvalidInput
from honeyguide.interests.clusters import means
from honeyguide.interests.taxonomy import seen_from
from honeyguide.types import Floats, Rows, Vectors

_TOP_ITEMS = 10
_SURE = 50.0  # events after which a group's own followers count as much as everybody's


@dataclass(frozen=True, slots=True)
class Agreement:
    """How groups of items agree with the shop's own categories, each in 0..1, 1 being full agreement.

    `nmi` is the mutual information of group and category over the mean of their entropies; `purity` the share of
    items whose category is the most frequent one of their group.
    """

    nmi: float
    purity: float
    items: int
    """Items that have a category: only they are judged."""


def agreement(groups: Rows, categories: Sequence[str]) -> Agreement:
    """Groups (n,) against the shop's categories (n,), "" where an item has none."""
    if len(categories) != len(groups):
        raise InvalidInput(f"categories must have one entry per item, {len(groups)}, got {len(categories)}")
    named = np.array([bool(category) for category in categories], dtype=np.bool_)
    if not named.any():
        raise InvalidInput("no item has a category: there is nothing to compare the interests with")
    _, category = np.unique(np.asarray(categories, dtype=np.str_)[named], return_inverse=True)
    shape = (int(groups.max()) + 1, int(category.max()) + 1)
    shared = csr_array((np.ones(len(category)), (groups[named], category)), shape=shape)
    shared.sum_duplicates()
    sums = (np.asarray(shared.sum(axis=axis)).ravel() for axis in (1, 0))
    joint, by_group, by_category = (_entropy(part) for part in (shared.data, *sums))
    mean = (by_group + by_category) / 2
    return Agreement(
        nmi=1.0 if mean == 0 else min(1.0, (by_group + by_category - joint) / mean),
        purity=float(shared.max(axis=1).sum() / shared.sum()),
        items=int(named.sum()),
    )


def _entropy(counts: NDArray[np.float64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def closeness_of(vectors: Vectors, groups: Rows, weights: Floats) -> float:
    """The weighted mean cosine of (n, d) text vectors to the mean of their group, both seen from the mean of all.

    Seen so, groups drawn by lot have about 0 whatever the encoder; items without text are left out.
    """
    read = vectors.any(axis=1)
    if not read.any():
        return 0.0
    mass = weights[read]
    centre = np.asarray(mass @ vectors[read] / mass.sum(), dtype=np.float32)
    seen = seen_from(vectors[read], centre)
    middle = means(seen, mass, groups[read], int(groups.max()) + 1)
    return float(mass @ (seen * middle[groups[read]]).sum(axis=1) / mass.sum())


def coherence(groups: Rows, baskets: Rows, items: Rows) -> float:
    """The mean NPMI, in -1..1, of the pairs of each group's ten most taken items, over baskets.

    `baskets` (e,) and `items` (e,) say what was taken in which basket. It is the coherence of topic models (Lau et
    al. 2014; NPMI: Bouma 2009) with items for words and baskets for documents: 0 is chance, and a pair that was never
    taken in one basket counts -1. Groups with fewer than two items that were taken are left out, and each other
    counts as what was taken of it.
    """
    item_of = csr_array(
        (np.ones(len(items)), (baskets, items)), shape=(int(baskets.max(initial=-1)) + 1, len(groups))
    )
    item_of.sum_duplicates()
    item_of.data[:] = 1.0
    seen = np.asarray(item_of.sum(axis=0)).ravel()
    columns = item_of.tocsc()
    total = int((np.diff(item_of.indptr) > 0).sum())
    by_group = np.lexsort((-seen, groups))
    starts = np.searchsorted(groups[by_group], np.arange(int(groups.max(initial=-1)) + 2))
    scores, weights = [], []
    for first, last in pairwise(starts.tolist()):
        best = by_group[first:last][:_TOP_ITEMS]
        best = best[seen[best] > 0]
        if len(best) > 1:
            part = columns[:, best]
            scores.append(_mean_npmi((part.T @ part).toarray(), total))
            weights.append(seen[by_group[first:last]].sum())
    return float(np.average(scores, weights=weights)) if scores else 0.0


def _mean_npmi(together: Floats, total: int) -> float:
    """Of all pairs, given how many of `total` baskets hold both (k, k)."""
    first, second = np.triu_indices(len(together), k=1)
    both, alone = together[first, second] / total, np.diag(together) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        npmi = np.log(both / (alone[first] * alone[second])) / -np.log(both)
    return float(np.where(both >= 1, 1.0, np.where(both > 0, npmi, -1.0)).mean())


def told_of_next(groups: Rows, learned: tuple[Rows, Rows], asked: tuple[Rows, Rows]) -> tuple[float, float]:
    """What an item's group tells of the next item's group: nats an event, and how often the likeliest group is right.

    `learned` and `asked` are pairs of item rows, each (p,), taken one after the other: counted and foretold. The
    nats are those that a class bigram gains over how often groups are taken (Brown et al. 1992); as items within a
    group are taken as being equal for it, more and finer groups are not ahead by their number alone.
    """
    count = int(groups.max()) + 1
    follows = np.zeros((count, count))
    np.add.at(follows, (groups[learned[0]], groups[learned[1]]), 1)
    alone = follows.sum(axis=0) + 1.0
    alone /= alone.sum()
    chance = (follows + _SURE * alone) / (follows.sum(axis=1, keepdims=True) + _SURE)
    first, second = groups[asked[0]], groups[asked[1]]
    if not len(first):
        return 0.0, 0.0
    gained = np.log(chance[first, second]) - np.log(alone[second])
    return float(gained.mean()), float((chance.argmax(axis=1)[first] == second).mean())


def found_by_name(names: Vectors, vectors: Vectors, groups: Rows) -> float:
    """How well names find their items: of the s items nearest to a name, the share that is its group's, meaned.

    `names` (groups, d) are the encoded names, `vectors` (n, d) the items', and s is the number of a group's items.
    """
    sizes = np.bincount(groups, minlength=len(names))
    shares = []
    for group, name in enumerate(names):
        if sizes[group] and name.any():
            nearest = np.argpartition(-(vectors @ name), sizes[group] - 1)[: sizes[group]]
            shares.append(float((groups[nearest] == group).mean()))
    return float(np.mean(shares)) if shares else 0.0
