"""Pages of which items that nobody has taken yet get no more than a share, with exact propensities."""

from __future__ import annotations

from types import MappingProxyType
from typing import Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.determinantal import Determinantal
from honeyguide.explore.diverse import INNER, Around, Diverse, Inner
from honeyguide.types import Candidates, Floats, State

_INNER: MappingProxyType[str, type[Inner]] = MappingProxyType(
    {**INNER, "Diverse": Diverse, "Determinantal": Determinantal}
)


class Capped(Around):
    """Another policy, by which fresh items take a share of every slot at most: so many of a page's, in expectation.

    New items then get traffic in proportion to the probability that they deserve it, as the inner policy's win-shares
    give it, but a flood of them cannot take the page. Where they would take more, the inner policy is asked again
    without them, and its two answers are mixed so that the share is met. Every item keeps its part of the floor, even
    where the floors of fresh ones alone exceed the share.
    """

    def __init__(self, inner: Inner, *, share: float, name: str | None = None) -> None:
        if not 0 <= share <= 1:
            raise InvalidInput(f"the share of fresh items must lie in 0..1, got {share}")
        if type(inner).__name__ not in _INNER:
            raise InvalidInput(
                f"a capped policy is made of one of {', '.join(_INNER)}, got {type(inner).__name__}"
            )
        self.share = float(share)
        super().__init__(inner, name or f"capped-{share:g}-{inner.name}")

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the inner policy's answer, within the share."""
        chosen = self.inner.plan(candidates).level if level is None else level
        pmf = self.inner.probabilities(candidates, rng, level=chosen)
        fresh = candidates.fresh
        if fresh is None or fresh.all() or pmf[fresh].sum() <= self.share:
            return pmf
        least = self.floor / len(pmf)
        floors = least * fresh.sum()
        part = max(self.share - floors, 0.0) / max(pmf[fresh].sum() - floors, 1e-12)
        old = np.flatnonzero(~fresh)
        without = self.inner.probabilities(candidates.take(old), rng, level=chosen)
        found = np.empty(len(pmf))
        found[fresh] = least + part * (pmf[fresh] - least)
        found[old] = part * pmf[old] + (1 - part) * (1 - floors) * without
        return np.asarray(found / found.sum())

    def state(self) -> State:
        """The inner policy's state, and the settings."""
        kind = np.frombuffer(type(self.inner).__name__.encode(), dtype=np.uint8)
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        mine = {"capped.inner": kind, "capped.share": np.array([self.share]), "capped.name": name}
        return {**mine, **self.inner.state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        inner = _INNER[state["capped.inner"].tobytes().decode()].from_state(state)
        name = state["capped.name"].tobytes().decode()
        return cls(inner, share=float(state["capped.share"][0]), name=name)
