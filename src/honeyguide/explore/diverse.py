"""Pages that do not say the same thing twice, with exact propensities: diversity is part of the distribution."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.closed_form import EpsilonGreedy, LinUCB, Softmax, SquareCB
from honeyguide.explore.drawn import Drawn
from honeyguide.explore.feelgood import FeelGood
from honeyguide.explore.interest_first import InterestFirst
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.types import Candidates, Decision, Floats, Plan, Policy, State, Vectors


class Inner(Policy, Protocol):
    """A policy that holds a posterior, and takes what is a penalty off the expected rewards."""

    @property
    def posterior(self) -> UserPosterior:
        """What it believes."""
        ...

    @property
    def floor(self) -> float:
        """The share of every slot that it spreads evenly."""
        ...


INNER: MappingProxyType[str, type[Inner]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            Drawn,
            EpsilonGreedy,
            FeelGood,
            InterestFirst,
            LinUCB,
            Softmax,
            SquareCB,
            Thompson,
            Tradeoff,
        )
    }
)


class Around:
    """What policies share that are made of another one: it believes, plans and learns, they change what is drawn."""

    def __init__(self, inner: Inner, name: str) -> None:
        self.inner = inner
        self.name = name

    @property
    def posterior(self) -> UserPosterior:
        """The inner policy's."""
        return self.inner.posterior

    @property
    def floor(self) -> float:
        """The inner policy's."""
        return self.inner.floor

    def plan(self, candidates: Candidates) -> Plan:
        """The inner policy's plan."""
        return self.inner.plan(candidates)

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Teach the inner policy."""
        self.inner.update(decision, rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        self.inner.retract(decision, rewards)

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        self.inner.forget(user_id)


class Diverse(Around):
    """Another policy, for which what is like the page so far is worth less: maximal marginal relevance.

    An item's expected reward falls by diversity / (1 - diversity) · width · likeness. Likeness in 0..1 is that to the
    most alike item on the page; width is how far the expected rewards of all candidates lie apart. With relevance
    scaled to 0..1 that ranks as (1 - diversity) · relevance - diversity · likeness (Carbonell & Goldstein 1998).
    The inner policy draws from what it then expects: `decide` asks for every slot, so its propensities are exact.
    `like` (start, stop) are the features that say what an item is like.
    """

    kind = "diverse"

    def __init__(
        self, inner: Inner, *, diversity: float, like: tuple[int, int], name: str | None = None
    ) -> None:
        if not 0 <= diversity < 1:
            raise InvalidInput(f"diversity must lie in 0..1, below 1, got {diversity}")
        start, stop = like
        if not 0 <= start < stop <= inner.posterior.prior.dim:
            raise InvalidInput(
                f"like must be (start, stop) within the {inner.posterior.prior.dim} features, got {like}"
            )
        if type(inner).__name__ not in INNER:
            raise InvalidInput(
                f"a diverse policy is made of one of {', '.join(INNER)}, got {type(inner).__name__}"
            )
        self.diversity = diversity
        self.like = like
        super().__init__(inner, name or f"{self.kind}-{diversity:g}-{inner.name}")

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the inner policy's answer when what is like the page is worth less."""
        return self.inner.probabilities(self._penalised(candidates), rng, level=level)

    def state(self) -> State:
        """The inner policy's state, and the settings."""
        kind = np.frombuffer(type(self.inner).__name__.encode(), dtype=np.uint8)
        settings = np.array([self.diversity, *self.like])
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        mine = {"diverse.inner": kind, "diverse.settings": settings, "diverse.name": name}
        return {**mine, **self.inner.state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        inner = INNER[state["diverse.inner"].tobytes().decode()].from_state(state)
        diversity, start, stop = state["diverse.settings"].tolist()
        name = state["diverse.name"].tobytes().decode()
        return cls(inner, diversity=diversity, like=(int(start), int(stop)), name=name)

    def sameness(self, vectors: Vectors, shown: Vectors) -> Floats:
        """(n,) in 0..1: half of one plus the cosine to the most alike of what is shown."""
        return np.asarray((1 + (unit(vectors) @ unit(shown).T).max(axis=1)) / 2)

    def _penalised(self, candidates: Candidates) -> Candidates:
        if candidates.shown is None or not self.diversity:
            return candidates
        everything = np.concatenate([candidates.features, candidates.shown])
        width = np.ptp(self.posterior.about_features(candidates.user_id, everything).mean)
        same = self.sameness(
            candidates.features[:, slice(*self.like)], candidates.shown[:, slice(*self.like)]
        )
        weight = self.diversity / (1 - self.diversity) * width
        penalty = weight * same + (0.0 if candidates.penalty is None else candidates.penalty)
        return replace(candidates, penalty=penalty)


def unit(vectors: Vectors) -> Floats:
    """(n, d): each row at length 1; zero rows stay zero."""
    wide = vectors.astype(np.float64)
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, norm, out=np.zeros_like(wide), where=norm > 0))
