"""Places interests and items on a plane for the map in the report: alike next to alike."""

from __future__ import annotations

import numpy as np

from honeyguide.errors import MissingExtra
from honeyguide.interests.taxonomy import InterestMap
from honeyguide.types import Floats, Rows, Vectors

_ITEMS = 2_000  # points on the map: enough to see its shape, few enough to be laid out in seconds
_FEW = 12  # below this t-SNE has no neighbourhoods to keep
_AXES = 32  # main axes that the distances are taken on
_PERPLEXITY = 30.0


def lay_out(
    centroids: Vectors, vectors: Vectors, rows: Rows, weights: Floats, *, seed: int, items: int = _ITEMS
) -> InterestMap:
    """The map of the leaves' `centroids` (leaves, d) and of the heaviest and a draw of the other `vectors` (m, d).

    `rows` (m,) are the items that the vectors stand for and `weights` (m,) say how likely they are drawn.
    """
    chosen = _sample(weights, items, np.random.default_rng(seed))
    places = _plane(np.vstack([centroids, vectors[chosen]]).astype(np.float64), seed)
    return InterestMap(
        leaf_xy=places[: len(centroids)], item_rows=rows[chosen], item_xy=places[len(centroids) :]
    )


def _sample(weights: Floats, items: int, rng: np.random.Generator) -> Rows:
    count = min(items, len(weights))
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    share = np.sqrt(weights)  # a map of bestsellers only would show a shop without its corners
    return np.sort(rng.choice(len(weights), size=count, replace=False, p=share / share.sum()))


def _plane(points: Floats, seed: int) -> Vectors:
    """(m, 2) float32 in [-1, 1]."""
    axes = _main_axes(points, min(_AXES, *points.shape))
    flat = axes[:, :2] if len(points) < _FEW else _neighbourhoods(axes, seed)
    plane = np.zeros((len(points), 2))
    plane[:, : flat.shape[1]] = flat
    plane -= (plane.max(axis=0) + plane.min(axis=0)) / 2
    return (plane / max(float(np.abs(plane).max()), 1e-12)).astype(np.float32)


def _main_axes(points: Floats, count: int) -> Floats:
    centred = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    main = axes[:, ::-1][:, :count]
    sign = np.sign(main[np.abs(main).argmax(axis=0), np.arange(count)])  # a sign is arbitrary: fix it
    return np.asarray(centred @ (main * sign))


def _neighbourhoods(points: Floats, seed: int) -> Floats:
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingExtra("scikit-learn", "train") from None
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (len(points) - 1) / 3),
        init=points[:, :2] / max(float(np.std(points[:, 0])), 1e-12) * 1e-4,
        learning_rate="auto",
        max_iter=600,
        random_state=seed,
    )
    with threadpool_limits(1):  # threads add up in the order they happen to finish
        return np.asarray(tsne.fit_transform(points))
