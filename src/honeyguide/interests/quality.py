"""How good a tree of interests is: beside the shop's own categories, in itself, and by what is taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from honeyguide.errors import InvalidInput
from honeyguide.interests.clusters import means
from honeyguide.interests.taxonomy import seen_from
from honeyguide.types import Floats, Rows, Vectors

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


def coherence(groups: Rows, first: Rows, second: Rows) -> float:
    """The mean NPMI (Bouma 2009), in -1..1, of two items taken together both being in a group; 0 is chance.

    `first` and `second` (p,) are rows of items that one user took near each other, in any order; a group counts as
    often as it is taken. It is the coherence of topic models with items for words, but of all pairs at once: most
    single pairs of a catalogue are too rare for a figure of their own.
    """
    if not len(first):
        return 0.0
    count = int(groups.max()) + 1
    alike = groups[first] == groups[second]
    both = np.bincount(groups[first[alike]], minlength=count) / len(first)
    taken = np.bincount(groups[np.concatenate([first, second])], minlength=count) / (2 * len(first))
    with np.errstate(divide="ignore", invalid="ignore"):
        npmi = np.log(both / taken**2) / -np.log(both)
    npmi = np.where(both >= 1, 1.0, np.where(both > 0, npmi, -1.0))
    return float(taken @ npmi)


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
