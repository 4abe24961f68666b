"""A simulated shop: what is true of it, and what the shop itself can know of its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.factors import Taken, learn_truth
from honeyguide.evaluate.simulate.truth import Truth
from honeyguide.interests.clusters import cluster
from honeyguide.interests.items import ItemFacts, popularity, taste_vectors
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.types import Floats, Rows, Vectors

_TAKEN_AGAIN = (
    0.1  # a shop where so much of what is taken was taken before is one where people buy things again
)
_REBOUGHT_PRIOR = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedShop:
    """Users of the past, by whom the shop knows its items, and users of the present, of whom it knows nothing.

    `facts` are counted on the log of the `past` users alone; `past` and `present` are rows of the truth's users.
    `again` says whether people take an item more than once, as the log has it. A `sequence` model, where one was
    learned on the log of the `past` users, tells what comes next.
    """

    name: str
    catalog: Catalog
    facts: ItemFacts
    truth: Truth
    past: Rows
    present: Rows
    again: bool
    sequence: SequenceModel | None = None

    def __len__(self) -> int:
        return len(self.catalog)


def simulated_shop(
    name: str,
    ids: Sequence[str],
    text_vectors: Vectors,
    users: Rows,
    items: Rows,
    *,
    seed: int = 0,
    dims: int = 24,
    leaves: int = 40,
    factors: int = 32,
) -> SimulatedShop:
    """A shop from a log of events (e,), `users` and `items` both numbered from 0 on, and its items' texts.

    `ids` ascend, as a catalogue's do. The truth has the whole log, the shop half of its users. Whose number is in no
    event is left out.
    """
    catalog = Catalog.of(ids, titles=ids)
    if catalog.ids != tuple(ids):
        raise InvalidInput("ids must ascend: sort them, and the texts' vectors and the log's rows with them")
    users = np.unique(users, return_inverse=True)[1]
    n, people = len(ids), int(users.max()) + 1
    taken = Taken.of(users, items)
    order = np.random.default_rng(seed).permutation(people)
    past, present = np.sort(order[: people // 2]), np.sort(order[people // 2 :])
    known = taken.take(np.flatnonzero(np.isin(taken.users, past)))
    truth = learn_truth(taken, people, n, seed=seed, factors=factors, interests=leaves)
    facts = facts_of(known, text_vectors, n, dims=dims, leaves=leaves, seed=seed)
    return SimulatedShop(name, catalog, facts, truth, past, present, taken.repeated >= _TAKEN_AGAIN)


def facts_of(taken: Taken, text_vectors: Vectors, n: int, *, dims: int, leaves: int, seed: int) -> ItemFacts:
    """What a log says of n items: taste vectors and interests by text, popularity and repeats by count."""
    times = np.bincount(taken.items, weights=taken.times, minlength=n).astype(np.float64)
    unit = _unit(text_vectors - text_vectors.mean(axis=0))
    centroids, leaf = cluster(unit, np.log1p(times) + 0.1, leaves, seed)
    _, top = cluster(centroids, np.ones(len(centroids)), max(len(centroids) // 4, 1), seed)
    return ItemFacts(
        vectors=taste_vectors(text_vectors, times, dims),
        leaf=leaf,
        top_of_leaf=top,
        popularity=popularity(taken.users.astype(np.int32), taken.items.astype(np.int32), n),
        rebought=_repeats(taken, n),
        taken=times.astype(np.int64),
    )


def without(facts: ItemFacts, new: NDArray[np.bool_]) -> ItemFacts:
    """The facts where nobody had taken the `new` (n,) items yet: of those only the text is known."""
    mean = facts.rebought[~new].mean() if not new.all() else 0.0
    return replace(
        facts,
        popularity=np.where(new, np.float32(0), facts.popularity),
        rebought=np.where(new, np.float32(mean), facts.rebought),
        taken=np.where(new, 0, facts.taken),
    )


def standardised(values: Floats) -> Floats:
    """(n,): of mean 0 and deviation 1."""
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))


def _repeats(taken: Taken, n: int) -> Vectors:
    """(n,) in 0..1: the share of an item's takers who took it more than once, shrunk towards that of all items."""
    again = np.bincount(taken.items, weights=taken.times > 1, minlength=n)
    takers = np.bincount(taken.items, minlength=n)
    mean = again.sum() / max(takers.sum(), 1)
    found = (again + _REBOUGHT_PRIOR * mean) / (takers + _REBOUGHT_PRIOR)
    return np.asarray(found, dtype=np.float32)


def _unit(vectors: Vectors) -> Vectors:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norm, 1e-9), dtype=np.float32)
