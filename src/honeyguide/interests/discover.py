"""Finds the interests in a catalogue: clusters of item vectors, grouped, named and laid out on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from honeyguide.errors import InvalidInput
from honeyguide.interests.clusters import UNSOLD, Shelf, cluster, means
from honeyguide.interests.layout import lay_out
from honeyguide.interests.levels import Size, group, keep, node_parents
from honeyguide.interests.matching import Match, changes, give_ids, is_still, match
from honeyguide.interests.memberships import Memberships
from honeyguide.interests.namers import EncoderNamer, Meaning, Namer, Naming
from honeyguide.interests.naming import Vocabulary
from honeyguide.interests.taxonomy import NO_PARENT, Changes, Growth, Taxonomy, held, item_keys, seen_from
from honeyguide.interests.temperature import learn_temperature
from honeyguide.interests.together import Company, draw_together
from honeyguide.types import Encoder, Floats, Progress, Rows, Vectors, silent

UNREAD = "Everything else"
"""The name of the leaf and the top of items that have no text."""
_EXAMPLES = 5  # titles that a language model is shown of a node
_STEPS = 4
_ALL_ALIKE = 1 - 1e-6  # the length of the mean of points that are one


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """What a tree is grown from, n items: `vectors` (n, d) of unit norm or zero, `weights` (n,) how much each counts.

    Names come from `phrases`, such as category paths, and from `texts` where there are none. `first` and `second`
    (p,) are rows that one user took near each other, and `taken` (n,) how often each was.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: Vectors
    weights: Floats
    phrases: Sequence[str] | None = None
    titles: Sequence[str] | None = None
    first: Rows | None = None
    second: Rows | None = None
    taken: Floats | None = None

    def __post_init__(self) -> None:
        n, vectors = len(self.texts), self.vectors
        columns = [self.ids, self.weights, self.phrases, self.titles, self.taken]
        if (
            vectors.ndim != 2
            or len(vectors) != n
            or any(column is not None and len(column) != n for column in columns)
        ):
            raise InvalidInput(f"every column must have one row per text, {n}, got vectors {vectors.shape}")
        if n == 0:
            raise InvalidInput("there are no items to find interests in: import a catalogue first")
        if not np.isfinite(vectors).all() or not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise InvalidInput("vectors must be finite, and weights finite and at least 0")
        if (self.first is None) != (self.second is None) or (self.first is None) != (self.taken is None):
            raise InvalidInput("pairs need first, second and taken together")

    def named_by(self, row: int) -> str:
        """What an item's name is looked for in."""
        return (self.phrases[row] if self.phrases is not None else "") or self.texts[row]


def build_taxonomy(
    stock: Stock,
    *,
    size: Size,
    seed: int,
    behaviour: float = 0.0,
    encoder: Encoder | None = None,
    namers: Sequence[Namer] = (),
    before: Taxonomy | None = None,
    progress: Progress = silent,
) -> Taxonomy:
    """A tree over the stock, sized to it where `size` leaves that open.

    `behaviour` is the share of an often taken item's place that is decided by what it is taken with. An `encoder`
    and further `namers` choose among the names that the shop's words propose. The tree `before` is gone on from: its
    nodes keep their ids where their items stay, and their names where they hold what they held.
    """
    found = _sort(stock, size, seed, behaviour, before, progress)
    node_parent = _tree(found, before)
    matched = _matched(found, node_parent, before)
    ids, numbered = give_ids(matched, before)
    choosers = (*(() if encoder is None else (EncoderNamer(encoder, found.centre),)), *namers)
    chosen_by = ", ".join(one.version for one in choosers)
    stay = {} if before is None or before.growth.namer != chosen_by else _staying(matched, before)
    names = _named(found, node_parent, choosers, stay)
    progress(3, _STEPS)
    layout = lay_out(found.centroids, found.seen, found.shelf.first_row, found.shelf.weights, seed=seed)
    progress(_STEPS, _STEPS)
    told = Changes()
    if before is not None:
        told = changes(matched, ids, names, node_parent, found.leaf, found.keys, before)
    return Taxonomy(
        members=found.members,
        node_parent=node_parent,
        ids=ids,
        names=names,
        centre=found.centre,
        centroids=found.centroids,
        temperature=found.softness,
        item_keys=found.keys,
        layout=layout,
        growth=Growth(found.shape, numbered, chosen_by, told),
    )


def _sort(
    stock: Stock, size: Size, seed: int, behaviour: float, before: Taxonomy | None, progress: Progress
) -> _Sorted:
    """The stock in leaves, from where those of the tree before were."""
    shelf = Shelf.of(stock.vectors, stock.texts, stock.weights)
    keys, centre = item_keys(stock.ids), _centre(shelf)
    seen = _seen(stock, shelf, centre, behaviour)
    shape = size.shape(len(seen), () if before is None else before.growth.shape)
    start = None if before is None else _start(shelf, seen, keys, before, shape[-1])
    centroids, _ = cluster(seen, shelf.weights, shape[-1], seed, start=start)
    progress(1, _STEPS)
    softness = learn_temperature(seen, shelf.weights, centroids, seed)
    members = _members(shelf, seen, centroids, softness)
    progress(2, _STEPS)
    return _Sorted(stock, shelf, centre, seen, shape, centroids, softness, keys, members)


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """A stock sorted into leaves: `read_centroids` (leaves, d) without the leaf of what has no text."""

    stock: Stock
    shelf: Shelf
    centre: Vectors
    seen: Vectors
    shape: tuple[int, ...]
    read_centroids: Vectors
    softness: float
    keys: NDArray[np.uint64]
    members: Memberships

    @property
    def leaf(self) -> Rows:
        """(n,): the items' main leaves."""
        return self.members.main

    @property
    def unread(self) -> bool:
        """Whether a last leaf holds items without text."""
        return not self.shelf.read.all()

    @property
    def centroids(self) -> Vectors:
        """(leaves, d): those of all leaves, zero for the leaf of what has no text."""
        return _with_nothing(self.read_centroids) if self.unread else self.read_centroids

    @property
    def leaf_of_point(self) -> Rows:
        """(m,): the main leaf of each distinct text."""
        return self.leaf[self.shelf.first_row]


def _centre(shelf: Shelf) -> Vectors:
    """(d,): the weighted mean of the points, what all of the shop has in common; zero for a single point."""
    if not len(shelf.vectors):
        return np.zeros(shelf.vectors.shape[1], dtype=np.float32)
    mean = shelf.weights @ shelf.vectors / shelf.weights.sum()
    return np.asarray(mean * (np.linalg.norm(mean) < _ALL_ALIKE), dtype=np.float32)


def _seen(stock: Stock, shelf: Shelf, centre: Vectors, behaviour: float) -> Vectors:
    """(m, d): the points as directions from the centre, drawn towards what they are taken with."""
    seen = seen_from(shelf.vectors, centre)
    if not behaviour or stock.first is None or stock.second is None or stock.taken is None:
        return seen
    point_of = shelf.point_of
    first, second = point_of[stock.first], point_of[stock.second]
    known = (first >= 0) & (second >= 0)
    taken = np.bincount(shelf.distinct_of, weights=stock.taken[shelf.read], minlength=len(seen))
    company = Company.of(first[known], second[known], taken.astype(np.float64))
    return draw_together(seen, company, behaviour)


def _start(
    shelf: Shelf, seen: Vectors, keys: NDArray[np.uint64], before: Taxonomy, most: int
) -> Vectors | None:
    """The means, in today's vectors, of what is left in the leaves of the tree before; None where nothing is."""
    _, rows, old_rows = np.intersect1d(keys, before.item_keys, return_indices=True)
    read = shelf.read[rows]
    points, at = np.unique(shelf.point_of[rows[read]], return_index=True)
    leaf = before.leaf[old_rows[read]][at]
    mass = np.bincount(leaf, weights=shelf.weights[points], minlength=len(before))
    heaviest = np.sort(np.argsort(-mass, kind="stable")[:most])
    start = means(seen[points], shelf.weights[points], leaf, len(before))[heaviest]
    start = start[start.any(axis=1)]
    return start if len(start) else None


def _members(shelf: Shelf, seen: Vectors, centroids: Vectors, temperature: float) -> Memberships:
    """Of all items; those without text are in a last leaf."""
    if shelf.read.all():
        return Memberships.of(seen, centroids, temperature).take(shelf.distinct_of)
    points = Memberships.of(_with_nothing(seen), _with_nothing(centroids), temperature)
    return points.take(np.where(shelf.read, shelf.point_of, len(seen)))


def _with_nothing(rows: Vectors) -> Vectors:
    return np.vstack([rows, np.zeros((1, rows.shape[1]), dtype=np.float32)])


def _tree(found: _Sorted, before: Taxonomy | None) -> Rows:
    """(nodes,): the parents, of the upper levels as they were where those are still about as good."""
    centroids = found.read_centroids
    groups = group(centroids, found.shape)
    if before is not None and before.growth.shape[:-1] == found.shape[:-1]:
        flat = np.append(np.full(len(found.centroids), len(found.centroids)), NO_PARENT)
        old = _matched(found, flat, before).old[: len(centroids)]
        above = np.array([before.at_depth(depth) for depth in range(len(groups))])
        groups = keep(np.where(old >= 0, above[:, old], -1), centroids, groups)
    if found.unread:
        alone = np.full((len(groups), 1), groups.max(initial=-1) + 1)
        groups = np.hstack([groups, alone])
    return node_parents(groups)


def _matched(found: _Sorted, node_parent: Rows, before: Taxonomy | None) -> Match:
    if before is None:
        return Match(np.full(len(node_parent), -1), np.zeros(len(node_parent)))
    return match(node_parent, len(found.centroids), found.leaf, found.keys, before)


def _staying(found: Match, before: Taxonomy) -> dict[int, str]:
    """The names of the nodes that hold what they held."""
    return {node: before.names[found.old[node]] for node in np.flatnonzero(is_still(found)).tolist()}


def _named(
    found: _Sorted, node_parent: Rows, choosers: Sequence[Namer], stay: dict[int, str]
) -> tuple[str, ...]:
    leaves = len(found.centroids)
    holds = csr_array(held(node_parent, leaves).astype(np.float64))
    if found.unread:
        stay = stay | {leaves - 1: UNREAD, int(node_parent[leaves - 1]): UNREAD}
    stock, read = found.stock, found.shelf.read
    vocabulary = Vocabulary.of(
        [stock.named_by(row) for row in np.flatnonzero(read).tolist()], stock.weights[read] + UNSOLD
    )
    weight = holds @ vocabulary.weight_in(found.leaf[read], leaves)
    meanings = _meanings(found, holds) if choosers else ()
    return Naming(vocabulary, node_parent, leaves, meanings, choosers, stay).names(csr_array(weight))


def _meanings(found: _Sorted, holds: csr_array) -> list[Meaning]:
    """What each node is to a language model; titles are those of much taken items in its middle."""
    points, weights, leaves = found.seen, found.shelf.weights, len(found.centroids)
    masses = np.bincount(found.leaf_of_point, weights=weights, minlength=leaves)
    pull = holds @ (means(points, weights, found.leaf_of_point, leaves) * masses[:, None])
    vectors = seen_from(pull.astype(np.float32), np.zeros(points.shape[1], dtype=np.float32))
    titles = found.stock.titles or found.stock.texts
    told = []
    for node, vector in enumerate(vectors):
        inside = np.flatnonzero(holds[[node]].toarray().ravel()[found.leaf_of_point])
        best = inside[np.argsort(-weights[inside] * (points[inside] @ vector), kind="stable")]
        shown = dict.fromkeys(titles[found.shelf.first_row[point]] for point in best[: 2 * _EXAMPLES])
        told.append(Meaning(vector, tuple(shown)[:_EXAMPLES]))
    return told
