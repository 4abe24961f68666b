"""A shop out of nothing but random numbers: small, at once, and without data."""

from __future__ import annotations

import numpy as np

from honeyguide.data.catalog import Catalog
from honeyguide.evaluate.simulate.factors import Taken
from honeyguide.evaluate.simulate.shops import SimulatedShop, facts_of, standardised
from honeyguide.evaluate.simulate.truth import Truth
from honeyguide.types import Floats, Rows, Vectors

_NOISE = 0.5  # how far texts are from saying what an item is, in units of what they say
_TASTES = 3


def planted_shop(
    *,
    seed: int,
    items: int = 300,
    users: int = 200,
    interests: int = 8,
    factors: int = 8,
    dims: int = 8,
    again: bool = True,
) -> SimulatedShop:
    """Items around random centres, users with a few of them as tastes, texts that tell the factors imperfectly."""
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((interests, factors)))
    interest = rng.integers(interests, size=items).astype(np.int64)
    vectors = _unit(centres[interest] + 0.3 * rng.standard_normal((items, factors)))
    quality = standardised(rng.standard_normal(items))
    wanted = np.argsort(rng.random((users, interests)), axis=1)[:, :_TASTES]
    truth = Truth(
        items=vectors,
        interest=interest,
        quality=quality,
        tastes=centres[wanted].reshape(-1, factors),
        weights=rng.dirichlet(np.ones(_TASTES), size=users).ravel(),
        starts=np.arange(users + 1, dtype=np.int64) * _TASTES,
        sharpness=4.0,
        per_match=4.0,
        per_quality=0.7,
    )
    texts = _texts(vectors, rng)
    catalog = Catalog.of(names := [f"item-{row:06d}" for row in range(items)], titles=names)
    facts = facts_of(_log(quality, users, rng), texts, items, dims=dims, leaves=interests, seed=seed)
    order = rng.permutation(users)
    return SimulatedShop(
        "planted", catalog, facts, truth, order[: users // 2], order[users // 2 :], again=again
    )


def _texts(vectors: Floats, rng: np.random.Generator) -> Vectors:
    factors = vectors.shape[1]
    seen = vectors @ rng.standard_normal((factors, 2 * factors)) / np.sqrt(factors)
    noise = _NOISE * seen.std() * rng.standard_normal(seen.shape)
    return np.asarray(_unit(seen + noise), dtype=np.float32)


def _log(quality: Floats, users: int, rng: np.random.Generator) -> Taken:
    """Who took what, by quality alone: it is counted, and nothing more."""
    chance = np.exp(quality) / np.exp(quality).sum()
    items = rng.choice(len(quality), size=10 * users, p=chance).astype(np.int64)
    people: Rows = np.repeat(np.arange(users), 10)
    return Taken.of(people, items)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
