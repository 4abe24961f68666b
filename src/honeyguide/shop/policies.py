"""The policies a workspace can serve or evaluate, made from the fitted posterior and the settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput, InvalidSettings
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.capped import Capped
from honeyguide.explore.closed_form import EpsilonGreedy, LinUCB, Softmax, SquareCB
from honeyguide.explore.determinantal import Determinantal
from honeyguide.explore.diverse import Diverse, Inner
from honeyguide.explore.drawn import Chooser, Drawn
from honeyguide.explore.feelgood import FeelGood
from honeyguide.explore.gradient import Gradient
from honeyguide.explore.interest_first import InterestFirst
from honeyguide.explore.meta import Champion, Corral
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.interests.items import ItemFacts
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.types import Policy, State

CONTROLLER = "tradeoff"
NAMES = (
    "tradeoff",
    "greedy",
    "habit",
    "popularity",
    "uniform",
    "thompson-LEVEL",
    "feel-good-OPTIMISM",
    "feel-good-OPTIMISM-at-LEVEL",
    "interest-first-LEVEL",
    "interest-first-LEVEL-within-SHARE",
    "interest-first-led-LEVEL",
    "interest-first-led-LEVEL-within-SHARE",
    "epsilon-greedy-EPSILON",
    "epsilon-greedy-decaying-EPSILON",
    "softmax-TEMPERATURE",
    "linucb-ALPHA",
    "squarecb-GAMMA",
    "squarecb-growing-GAMMA",
    "corral",
    "champion-SHARE",
    "gradient",
    "diverse-DIVERSITY-POLICY",
    "dpp-DIVERSITY-POLICY",
    "capped-SHARE-POLICY",
)
_RANKED_BY = MappingProxyType({"popularity": "popularity", "habit": "weight"})
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_NUMBERED = re.compile(
    rf"(?P<kind>[a-z-]+?)-(?P<first>{_NUMBER})(?:-(?P<word>at|within)-(?P<second>{_NUMBER}))?"
)
_CHAMPION = re.compile(rf"champion-({_NUMBER})")
_CAPPED = re.compile(rf"capped-(?P<share>{_NUMBER})-(?P<inner>.+)")
_DIVERSE = re.compile(rf"(?P<kind>diverse|dpp)-(?P<diversity>{_NUMBER})-(?P<inner>.+)")
_ROOT = 0.5  # epsilon falls, and gamma grows, with the square root of what was seen

_Make = Callable[[str, UserPosterior, Explore, float, float], Inner]


def like(items: ItemFacts) -> tuple[int, int]:
    """(start, stop) of the features that say what an item is like: its taste components."""
    return len(BEHAVIOUR), len(BEHAVIOUR) + int(items.vectors.shape[1])


def make_policy(
    name: str, state: State, explore: Explore, *, seed: int, like: tuple[int, int] | None = None
) -> Policy:
    """The policy of that name: `habit` shows what the user took most, `thompson-0.2` holds the level at 0.2.

    `like` (start, stop) are the features by which a diverse one tells what is alike: all but behaviour where it is
    not given. InvalidInput names the policies there are.
    """
    if name == "uniform":
        return Uniform()
    if name in _RANKED_BY:
        return Ranked(BEHAVIOUR.index(_RANKED_BY[name]), floor=explore.floor, name=name)
    if said := _CAPPED.fullmatch(name):
        inside = _on_pages(said["inner"], state, explore, seed=seed, like=like)
        return Capped(inside, share=float(said["share"]), name=name)
    return _on_pages(name, state, explore, seed=seed, like=like)


def serving(explore: Explore) -> str:
    """The name of the policy that serves everybody; InvalidSettings where it holds no belief about them."""
    if explore.policy == "uniform" or explore.policy in _RANKED_BY:
        raise InvalidSettings(
            f"[explore] policy = {explore.policy!r} would learn nothing of anybody: choose one that holds a belief, "
            "such as greedy, or try it on a share of the users with [experiment] arms"
        )
    return explore.policy


def make_tradeoff(state: State, explore: Explore, *, seed: int) -> Tradeoff:
    """The controller, which chooses its exploration level by itself."""
    return Tradeoff(
        posterior_of(state),
        epsilon=explore.epsilon,
        page_size=explore.k,
        floor=explore.floor,
        draws=explore.draws,
        seed=seed,
    )


def _on_pages(name: str, state: State, explore: Explore, *, seed: int, like: tuple[int, int] | None) -> Inner:
    said = _DIVERSE.fullmatch(name)
    if not said:
        return _believing(name, state, explore, seed=seed)
    inner = _believing(said["inner"], state, explore, seed=seed)
    columns = like or (len(BEHAVIOUR), inner.posterior.prior.dim)
    kind = Determinantal if said["kind"] == Determinantal.kind else Diverse
    return kind(inner, diversity=float(said["diversity"]), like=columns, name=name)


def _believing(name: str, state: State, explore: Explore, *, seed: int) -> Inner:
    if name == CONTROLLER:
        return make_tradeoff(state, explore, seed=seed)
    if name == "greedy":
        return _thompson(name, posterior_of(state), explore, 0.0, 1.0)
    if chooser := _chooser(name, explore):
        posterior = posterior_of(state)
        return Drawn(posterior, chooser, floor=explore.floor, draws=explore.draws, seed=seed, name=name)
    said = _NUMBERED.fullmatch(name)
    if said and said["kind"] in _NUMBERS:
        word, make = _NUMBERS[said["kind"]]
        if said["word"] in (None, word):
            first, second = float(said["first"]), float(said["second"] or 1)
            return make(name, posterior_of(state), explore, first, second)
    raise InvalidInput(
        f"there is no policy {name!r} that holds a belief. Choose one of {', '.join(NAMES)}, e.g. thompson-0.2"
    )


def _chooser(name: str, explore: Explore) -> Chooser | None:
    if name == "corral":
        return Corral()
    if name == "gradient":
        return Gradient(explore.horizon_days)
    said = _CHAMPION.fullmatch(name)
    return Champion(float(said[1])) if said else None


def _thompson(name: str, posterior: UserPosterior, explore: Explore, level: float, _: float) -> Thompson:
    return Thompson(posterior, level=level, floor=explore.floor, draws=explore.draws, name=name)


def _feel_good(
    name: str, posterior: UserPosterior, explore: Explore, optimism: float, level: float
) -> FeelGood:
    return FeelGood(
        posterior, optimism=optimism, floor=explore.floor, draws=explore.draws, level=level, name=name
    )


def _interest_first(led: bool) -> _Make:
    return lambda name, posterior, explore, level, within: InterestFirst(
        posterior, level=level, floor=explore.floor, draws=explore.draws, within=within, led=led, name=name
    )


def _epsilon_greedy(decay: float) -> _Make:
    return lambda name, posterior, explore, epsilon, _: EpsilonGreedy(
        posterior, epsilon=epsilon, floor=explore.floor, decay=decay, name=name
    )


def _softmax(name: str, posterior: UserPosterior, explore: Explore, temperature: float, _: float) -> Softmax:
    return Softmax(posterior, temperature=temperature, floor=explore.floor, name=name)


def _linucb(name: str, posterior: UserPosterior, explore: Explore, alpha: float, _: float) -> LinUCB:
    return LinUCB(posterior, alpha=alpha, floor=explore.floor, name=name)


def _squarecb(growth: float) -> _Make:
    return lambda name, posterior, explore, gamma, _: SquareCB(
        posterior, gamma=gamma, floor=explore.floor, growth=growth, name=name
    )


_NUMBERS: MappingProxyType[str, tuple[str, _Make]] = MappingProxyType(
    {
        # the word before a second number, where one may be given; it is 1 where it is not
        "thompson": ("", _thompson),
        "feel-good": ("at", _feel_good),
        "interest-first": ("within", _interest_first(led=False)),
        "interest-first-led": ("within", _interest_first(led=True)),
        "epsilon-greedy": ("", _epsilon_greedy(0.0)),
        "epsilon-greedy-decaying": ("", _epsilon_greedy(_ROOT)),
        "softmax": ("", _softmax),
        "linucb": ("", _linucb),
        "squarecb": ("", _squarecb(0.0)),
        "squarecb-growing": ("", _squarecb(_ROOT)),
    }
)
