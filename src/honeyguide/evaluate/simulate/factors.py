"""The truth of a shop, learned from its whole log: all users, all times, and no text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.truth import Truth, soft_match
from honeyguide.interests.clusters import cluster
from honeyguide.types import Floats, Rows

MOST_TASTES = 5
"""Tastes of a user: those that most of what they took belongs to."""
SHARPNESSES = (2.0, 4.0, 8.0, 16.0)
_HELD = 3_000  # users of whom one item is held out: they say how much a match is worth
_OTHERS = 20  # items drawn beside each held-out one
_FEWEST = 3  # items of a user one is held out of


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Who took what, and how often: `users`, `items` and `times`, all (p,), one row for each pair."""

    users: Rows
    items: Rows
    times: Rows

    @classmethod
    def of(cls, users: Rows, items: Rows) -> Taken:
        """The pairs of a log of events (e,)."""
        pairs, times = np.unique(np.stack([users, items]), axis=1, return_counts=True)
        return cls(pairs[0], pairs[1], times.astype(np.int64))

    def take(self, rows: Rows) -> Taken:
        """Some of the pairs."""
        return Taken(self.users[rows], self.items[rows], self.times[rows])

    @property
    def repeated(self) -> float:
        """The share of the events that took an item again."""
        return float(1 - len(self.times) / self.times.sum())


def learn_truth(
    taken: Taken, users: int, items: int, *, seed: int, factors: int = 32, interests: int = 40
) -> Truth:
    """The truth behind what `users` took of `items`.

    Item factors are a truncated SVD of the user-item matrix, scaled by the degrees of both. A user's tastes are the
    centres of what they took in each true interest (a cluster of the factors; the several-vectors-a-user idea is
    PinnerSage's, Pal et al. 2020). What match and quality are worth is what explains best which items of users were
    held out, against others drawn at random.
    """
    if min(users, items) <= factors + 1:
        raise InvalidInput(
            f"{users} users and {items} items are too few for {factors} factors: ask for fewer"
        )
    rng = np.random.default_rng(seed)
    held, kept = _held_out(taken, users, rng)
    vectors = item_factors(kept, users, items, factors, rng)
    popularity = np.bincount(kept.items, minlength=items).astype(np.float64)
    _, interest = cluster(vectors.astype(np.float32), popularity + 0.1, interests, seed)
    tastes, weights, starts = _tastes(kept, vectors, interest, users)
    counted = np.log1p(popularity)
    quality = (counted - counted.mean()) / max(counted.std(), 1e-9)
    others = rng.integers(items, size=(len(held.users), _OTHERS))
    shown = np.concatenate([held.items[:, None], others], axis=1)
    padded = _padded(tastes, weights, starts, held.users)
    fits = [_worth(vectors, quality, shown, padded, sharpness) for sharpness in SHARPNESSES]
    at = int(np.argmin([loss for loss, _, _ in fits]))
    _, per_match, per_quality = fits[at]
    return Truth(vectors, interest, quality, tastes, weights, starts, SHARPNESSES[at], per_match, per_quality)


def item_factors(taken: Taken, users: int, items: int, factors: int, rng: np.random.Generator) -> Floats:
    """(n, factors): unit vectors of the items by who took them; zero for what nobody took."""
    worth = np.log1p(taken.times)
    per_user = np.sqrt(np.maximum(np.bincount(taken.users, weights=worth, minlength=users), 1e-9))
    per_item = np.sqrt(np.maximum(np.bincount(taken.items, weights=worth, minlength=items), 1e-9))
    scaled = worth / (per_user[taken.users] * per_item[taken.items])
    matrix = csr_array((scaled, (taken.users, taken.items)), shape=(users, items))
    _, strengths, axes = svds(matrix, k=factors + 1, v0=rng.standard_normal(min(users, items)))
    # the strongest axis of a matrix scaled so is how much was taken: quality says that already
    order = np.argsort(-strengths, kind="stable")[1:]
    signs = np.sign(axes[order, np.abs(axes[order]).argmax(axis=1)])
    found = (axes[order] * (strengths[order] * signs)[:, None]).T
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, norm, out=np.zeros_like(found), where=norm > 1e-9))


def _held_out(taken: Taken, users: int, rng: np.random.Generator) -> tuple[Taken, Taken]:
    """One pair of some of the users who took enough, and all other pairs."""
    many = np.flatnonzero(np.bincount(taken.users, minlength=users) >= _FEWEST)
    asked = np.sort(rng.permutation(many)[: min(_HELD, len(many) // 2)])
    if not len(asked):
        raise InvalidInput(
            f"hardly anybody took {_FEWEST} items: there are no tastes to be told from the log"
        )
    shuffled = rng.permutation(len(taken.users))
    first = shuffled[np.unique(taken.users[shuffled], return_index=True)[1]]
    held = np.sort(first[np.isin(taken.users[first], asked)])
    kept = np.ones(len(taken.users), dtype=np.bool_)
    kept[held] = False
    return taken.take(held), taken.take(np.flatnonzero(kept))


def _tastes(taken: Taken, vectors: Floats, interest: Rows, users: int) -> tuple[Floats, Floats, Rows]:
    """Each user's tastes (t, f), their weights (t,), and where each user's begin (u + 1,)."""
    worth = np.log1p(taken.times)
    shelves = int(interest.max()) + 1
    keys, at = np.unique(taken.users * shelves + interest[taken.items], return_inverse=True)
    gathered = csr_array((worth, (at, taken.items)), shape=(len(keys), len(vectors))) @ vectors
    mass = np.bincount(at, weights=worth)
    owner = keys // shelves
    order = np.lexsort((-mass, owner))
    first = np.searchsorted(owner[order], np.arange(users))
    kept = order[np.arange(len(order)) - first[owner[order]] < MOST_TASTES]
    whole = np.bincount(owner[kept], weights=mass[kept], minlength=users)
    norm = np.linalg.norm(gathered[kept], axis=1, keepdims=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner[kept], minlength=users))]).astype(np.int64)
    return gathered[kept] / np.maximum(norm, 1e-9), mass[kept] / whole[owner[kept]], starts


def _padded(tastes: Floats, weights: Floats, starts: Rows, users: Rows) -> tuple[Floats, Floats]:
    """(u, MOST_TASTES, f) and (u, MOST_TASTES): users' tastes side by side, of no weight where they have fewer."""
    place = starts[users][:, None] + np.arange(MOST_TASTES)
    there = place < starts[users + 1][:, None]
    place = np.minimum(place, len(tastes) - 1)
    return tastes[place], np.where(there, weights[place], 0.0)


def _worth(
    vectors: Floats, quality: Floats, shown: Rows, padded: tuple[Floats, Floats], sharpness: float
) -> tuple[float, float, float]:
    """(loss, worth of a match, worth of quality): a conditional logit of the first of each row of `shown`."""
    match = soft_match(vectors[shown], *padded, sharpness)
    signs = np.stack([match, quality[shown]], axis=-1)
    found = minimize(partial(_surprise, signs), np.array([1.0, 1.0]), jac=True, method="L-BFGS-B")
    return float(found.fun), float(found.x[0]), float(found.x[1])


def _surprise(signs: Floats, worth: Floats) -> tuple[float, Floats]:
    logits = signs @ worth
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    slope = np.einsum("us,usw->w", chances, signs) - signs[:, 0].sum(axis=0)
    return float(-np.log(chances[:, 0]).mean()), slope / len(signs)
