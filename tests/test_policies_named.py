"""Every policy that documents and messages name can be had by that name, and says that it is it."""

import re
from pathlib import Path

import pytest

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput
from honeyguide.explore.believing import Believing
from honeyguide.explore.capped import Capped
from honeyguide.explore.closed_form import EpsilonGreedy, SquareCB
from honeyguide.explore.determinantal import Determinantal
from honeyguide.explore.diverse import Diverse
from honeyguide.explore.drawn import Drawn
from honeyguide.explore.feelgood import FeelGood
from honeyguide.explore.gradient import Gradient
from honeyguide.explore.interest_first import InterestFirst
from honeyguide.explore.meta import Champion
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.shop.policies import NAMES, make_policy
from honeyguide.types import Policy

DIM = 20
STATE = UserPosterior(Prior.isotropic(DIM)).state()


def named(name: str) -> Policy:
    return make_policy(name, STATE, Explore(), seed=0)


def filled(pattern: str, number: str) -> str:
    return re.sub("[A-Z]+", number, pattern.replace("POLICY", f"linucb-{number}"))


@pytest.mark.parametrize("pattern", NAMES)
@pytest.mark.parametrize("number", ["0.25", "3", "1e-05"])
def test_a_policy_is_had_by_its_name(pattern: str, number: str) -> None:
    name = filled(pattern, number)
    if name in {"diverse-3-linucb-3", "dpp-3-linucb-3", "capped-3-linucb-3", "champion-3", "champion-1e-05"}:
        with pytest.raises(InvalidInput, match=r"diversity|share"):
            named(name)
    else:
        assert named(name).name == name


def test_every_policy_with_a_floor_has_the_shops() -> None:
    made = [named(filled(pattern, "0.5")) for pattern in NAMES]
    believing = [policy for policy in made if isinstance(policy, Believing)]
    assert (
        len(believing) == len(made) - 7
    )  # the served one, those with another inside, and those of no belief
    assert {policy.floor for policy in believing} == {Explore().floor}


def test_the_words_in_a_name_are_the_settings() -> None:
    fixed, decaying = named("epsilon-greedy-0.1"), named("epsilon-greedy-decaying-2")
    assert isinstance(fixed, EpsilonGreedy)
    assert isinstance(decaying, EpsilonGreedy)
    assert (fixed.epsilon, fixed.decay) == (0.1, 0.0)
    assert (decaying.epsilon, decaying.decay) == (2.0, 0.5)
    growing, glad = named("squarecb-growing-10"), named("feel-good-0.5-at-0.2")
    assert isinstance(growing, SquareCB)
    assert isinstance(glad, FeelGood)
    assert (growing.gamma, growing.growth) == (10.0, 0.5)
    assert (glad.optimism, glad.level) == (0.5, 0.2)
    staged, diverse = named("interest-first-0.4-within-0.5"), named("diverse-0.3-tradeoff")
    assert isinstance(staged, InterestFirst)
    assert isinstance(diverse, Diverse)
    led = named("interest-first-led-0.4-within-0.5")
    assert isinstance(led, InterestFirst)
    assert (led.level, led.within, led.led, staged.led) == (0.4, 0.5, True, False)
    assert (staged.level, staged.within) == (0.4, 0.5)
    assert (diverse.inner.name, diverse.diversity, diverse.like) == ("tradeoff", 0.3, (len(BEHAVIOUR), DIM))
    proven, long_run = named("champion-0.2"), named("gradient")
    assert isinstance(proven, Drawn)
    assert isinstance(long_run, Drawn)
    assert isinstance(proven.chooser, Champion)
    assert isinstance(long_run.chooser, Gradient)
    assert (proven.chooser.share, long_run.chooser.returns.horizon_days) == (0.2, Explore().horizon_days)
    spanning = named("dpp-0.3-greedy")
    assert isinstance(spanning, Determinantal)
    assert (spanning.inner.name, spanning.diversity, spanning.like) == ("greedy", 0.3, (len(BEHAVIOUR), DIM))
    capped = named("capped-0.2-diverse-0.3-tradeoff")
    assert isinstance(capped, Capped)
    assert (capped.share, capped.inner.name, capped.floor) == (0.2, "diverse-0.3-tradeoff", Explore().floor)
    assert make_policy("diverse-0-greedy", STATE, Explore(), seed=0, like=(15, 18)).state()[
        "diverse.settings"
    ].tolist() == [0, 15, 18]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "thompson",
            "thompson-",
            "thompson-x",
            "thompson-1-at-2",
            "softmax-nan",
            "linucb-1 ",
        ),
        *("feel-good-1-within-2", "diverse-0.3", "diverse-0.3-uniform", "diverse-0.3-dpp-0.3-greedy"),
        *(
            "capped-0.2",
            "capped-0.2-uniform",
            "capped-0.2-capped-0.2-greedy",
            "diverse-0.3-capped-0.2-greedy",
        ),
    ],
)
def test_other_names_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"there is no policy .* linucb-ALPHA"):
        named(name)


def test_a_number_that_makes_no_sense_is_refused_as_such() -> None:
    with pytest.raises(InvalidInput, match="level must be finite and 0 or more"):
        named("thompson--1")


def test_every_policy_is_in_the_documents() -> None:
    page = (Path(__file__).parent.parent / "docs" / "policies.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in page] == []
