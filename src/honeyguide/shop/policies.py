"""The policies a workspace can serve or evaluate, made from the fitted posterior and the settings."""

from __future__ import annotations

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.types import Policy, State

SERVED = "tradeoff"
NAMES = ("tradeoff", "greedy", "habit", "popularity", "uniform", "thompson-LEVEL")
_RANKED_BY = {"popularity": "popularity", "habit": "weight"}


def make_policy(name: str, state: State, explore: Explore, *, seed: int) -> Policy:
    """The policy of that name: `habit` shows what the user took most, `thompson-0.2` holds the level at 0.2."""
    if name == "uniform":
        return Uniform()
    if name in _RANKED_BY:
        return Ranked(BEHAVIOUR.index(_RANKED_BY[name]), floor=explore.floor, name=name)
    if name == SERVED:
        return make_tradeoff(state, explore, seed=seed)
    posterior = UserPosterior.from_state(state)
    return Thompson(posterior, level=_level(name), floor=explore.floor, draws=explore.draws, name=name)


def make_tradeoff(state: State, explore: Explore, *, seed: int) -> Tradeoff:
    """The policy that serves: it chooses its exploration level by itself."""
    return Tradeoff(
        UserPosterior.from_state(state),
        epsilon=explore.epsilon,
        page_size=explore.k,
        floor=explore.floor,
        draws=explore.draws,
        seed=seed,
    )


def _level(name: str) -> float:
    if name == "greedy":
        return 0.0
    kind, _, level = name.partition("-")
    try:
        if kind == "thompson":
            return float(level)
    except ValueError:
        pass
    raise InvalidInput(f"there is no policy {name!r}. Choose one of {', '.join(NAMES)}, e.g. thompson-0.2")
