"""The policies a workspace can serve or evaluate, made from the fitted posterior and the settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.closed_form import EpsilonGreedy, LinUCB, Softmax, SquareCB
from honeyguide.explore.feelgood import FeelGood
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.types import Policy, State

SERVED = "tradeoff"
NAMES = (
    "tradeoff",
    "greedy",
    "habit",
    "popularity",
    "uniform",
    "thompson-LEVEL",
    "feel-good-OPTIMISM",
    "feel-good-OPTIMISM-at-LEVEL",
    "epsilon-greedy-EPSILON",
    "epsilon-greedy-decaying-EPSILON",
    "softmax-TEMPERATURE",
    "linucb-ALPHA",
    "squarecb-GAMMA",
    "squarecb-growing-GAMMA",
)
_RANKED_BY = MappingProxyType({"popularity": "popularity", "habit": "weight"})
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_NUMBERED = re.compile(rf"(?P<kind>[a-z-]+?)-(?P<first>{_NUMBER})(?:-at-(?P<second>{_NUMBER}))?")
_ROOT = 0.5  # epsilon falls, and gamma grows, with the square root of what was seen

_Make = Callable[[str, UserPosterior, Explore, float], Policy]


def make_policy(name: str, state: State, explore: Explore, *, seed: int) -> Policy:
    """The policy of that name: `habit` shows what the user took most, `thompson-0.2` holds the level at 0.2.

    InvalidInput names those there are.
    """
    if name == "uniform":
        return Uniform()
    if name in _RANKED_BY:
        return Ranked(BEHAVIOUR.index(_RANKED_BY[name]), floor=explore.floor, name=name)
    if name == SERVED:
        return make_tradeoff(state, explore, seed=seed)
    posterior = UserPosterior.from_state(state)
    if name == "greedy":
        return Thompson(posterior, level=0.0, floor=explore.floor, draws=explore.draws)
    said = _NUMBERED.fullmatch(name)
    if said and said["kind"] == "feel-good":
        return _feel_good(name, posterior, explore, float(said["first"]), float(said["second"] or 1))
    if said and not said["second"] and said["kind"] in _BY_ONE_NUMBER:
        return _BY_ONE_NUMBER[said["kind"]](name, posterior, explore, float(said["first"]))
    raise InvalidInput(f"there is no policy {name!r}. Choose one of {', '.join(NAMES)}, e.g. thompson-0.2")


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


def _feel_good(
    name: str, posterior: UserPosterior, explore: Explore, optimism: float, level: float
) -> FeelGood:
    return FeelGood(
        posterior, optimism=optimism, floor=explore.floor, draws=explore.draws, level=level, name=name
    )


def _thompson(name: str, posterior: UserPosterior, explore: Explore, level: float) -> Thompson:
    return Thompson(posterior, level=level, floor=explore.floor, draws=explore.draws, name=name)


def _epsilon_greedy(decay: float) -> _Make:
    return lambda name, posterior, explore, epsilon: EpsilonGreedy(
        posterior, epsilon=epsilon, floor=explore.floor, decay=decay, name=name
    )


def _softmax(name: str, posterior: UserPosterior, explore: Explore, temperature: float) -> Softmax:
    return Softmax(posterior, temperature=temperature, floor=explore.floor, name=name)


def _linucb(name: str, posterior: UserPosterior, explore: Explore, alpha: float) -> LinUCB:
    return LinUCB(posterior, alpha=alpha, floor=explore.floor, name=name)


def _squarecb(growth: float) -> _Make:
    return lambda name, posterior, explore, gamma: SquareCB(
        posterior, gamma=gamma, floor=explore.floor, growth=growth, name=name
    )


_BY_ONE_NUMBER: MappingProxyType[str, _Make] = MappingProxyType(
    {
        "thompson": _thompson,
        "epsilon-greedy": _epsilon_greedy(0.0),
        "epsilon-greedy-decaying": _epsilon_greedy(_ROOT),
        "softmax": _softmax,
        "linucb": _linucb,
        "squarecb": _squarecb(0.0),
        "squarecb-growing": _squarecb(_ROOT),
    }
)
