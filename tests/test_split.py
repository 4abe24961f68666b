"""Who is served what: a hash of name and id, stable, independent between names, exact in its shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from honeyguide.checks.journal import sample_decision
from honeyguide.config import Apprentice, Experiment, Settings, parse_settings
from honeyguide.errors import InvalidSettings
from honeyguide.shop.split import (
    Split,
    all_fixed,
    apprentice_split,
    experiment_split,
    labelled,
    made_under,
    place_of,
)

USERS = [f"user-{number}" for number in range(30_000)]
SHARES = (0.5, 0.3, 0.15, 0.05)


def split(name: str = "one", shares: tuple[float, ...] = SHARES) -> Split:
    return Split(name, tuple(f"arm-{at}" for at in range(len(shares))), shares)


def counted(arms: list[int], shares: tuple[float, ...] = SHARES) -> list[int]:
    return [arms.count(arm) for arm in range(len(shares))]


@pytest.mark.parametrize("name", ["one", "another", "日本"])
@pytest.mark.parametrize("users", [USERS, [str(number) for number in range(30_000)]])
def test_arms_have_their_shares_of_the_users(name: str, users: list[str]) -> None:
    found = counted([split(name).arm_of(user) for user in users])
    assert chisquare(found, [share * len(users) for share in SHARES]).pvalue > 1e-3


def test_experiments_are_independent_of_each_other_and_of_apprentice_mode() -> None:
    other, apprentice = (
        split("another", (0.4, 0.6)),
        apprentice_split(replace(Settings(), apprentice=Apprentice(0.3))),
    )
    pairs = np.zeros((4, 2, 2))
    for user in USERS:
        pairs[split().arm_of(user), other.arm_of(user), apprentice.arm_of(user)] += 1
    expected = np.einsum("i,j,k", SHARES, (0.4, 0.6), (0.7, 0.3)) * len(USERS)
    assert chisquare(pairs.ravel(), expected.ravel()).pvalue > 1e-3


def test_a_user_stays_where_they_are() -> None:
    """Worked out once, and written down: another release must not share users out anew."""
    found = [f"{place_of('exploring', user):.6f}" for user in ("user-1", "user-2", "")]
    assert found == ["0.863765", "0.719535", "0.495831"]


@pytest.mark.parametrize("shares", [(0.0, 1.0), (1.0, 0.0), (0.1, 0.2, 0.7), (1 / 3, 1 / 3, 1 / 3)])
def test_everybody_has_an_arm_and_none_is_in_one_without_a_share(shares: tuple[float, ...]) -> None:
    found = counted([split(shares=shares).arm_of(user) for user in USERS[:2000]], shares)
    assert sum(found) == 2000
    assert [count for count, share in zip(found, shares, strict=True) if not share and count] == []


def test_who_is_served_the_learned_policy_stays_as_its_share_grows() -> None:
    served: set[str] = set()
    for share in (0.0, 0.05, 0.2, 0.5, 1.0):
        at = apprentice_split(replace(Settings(), apprentice=Apprentice(share)))
        now = {user for user in USERS[:4000] if at.arm_named(user) == "learned"}
        assert served <= now
        served = now
    assert len(served) == 4000


def test_a_decision_says_what_it_was_made_under() -> None:
    one, other, elsewhere = split(), split("another", (0.4, 0.6)), split(shares=(0.6, 0.2, 0.15, 0.05))
    said = labelled("greedy", (one, None, other))
    decision = replace(sample_decision(0), policy_version=said)
    assert one.label == "one: arm-0=0.5, arm-1=0.3, arm-2=0.15, arm-3=0.05"
    assert [made_under(decision, each) for each in (one, other, elsewhere)] == [True, True, False]
    assert labelled("greedy", (None, None)) == "greedy"


def test_a_page_is_the_shops_where_it_fixed_every_slot() -> None:
    decision = replace(sample_decision(0), propensities=np.ones(3))
    pins = tuple(enumerate(decision.chosen.tolist()))
    assert [all_fixed(replace(decision, pins=pins[:n])) for n in range(4)] == [False, False, False, True]
    assert all_fixed(replace(decision, pins=pins).only([1]))


def test_settings_name_the_arms() -> None:
    table = {"experiment": {"name": "exploring", "arms": ["tradeoff=0.8", "diverse-0.3-linucb-1 = 0.2"]}}
    assert experiment_split(parse_settings(table)) == Split(
        "exploring", ("tradeoff", "diverse-0.3-linucb-1"), (0.8, 0.2)
    )
    assert experiment_split(Settings()) is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"arms": ["greedy=0.5", "tradeoff=0.4"]}, r"add up to 1, got 0\.9: add \+0\.1"),
    ({"arms": ["greedy=0.7", "tradeoff=0.4"]}, r"got 1\.1: add -0\.1"),
    ({"arms": ["greedy=1"]}, "two policies at least, got 'greedy=1' alone"),
    ({"arms": ["greedy=0.5", "greedy=0.5"]}, "each policy once"),
    ({"arms": ["greedy", "tradeoff=1"]}, "'greedy' is no arm: write"),
    ({"arms": ["greedy=0", "tradeoff=1"]}, "'greedy=0' is no arm"),
    ({"arms": ["greedy=nan", "tradeoff=1"]}, "'greedy=nan' is no arm"),
    ({"arms": ["=0.5", "tradeoff=0.5"]}, "'=0.5' is no arm"),
    ({"name": "", "arms": ["greedy=0.5", "tradeoff=0.5"]}, "needs a name"),
    ({"name": "apprentice", "arms": ["greedy=0.5", "tradeoff=0.5"]}, "cannot be named 'apprentice'"),
    ({"name": "a; b", "arms": ["greedy=0.5", "tradeoff=0.5"]}, "cannot be named 'a; b'"),
    ({"days": 0}, "days must be above 0"),
    ({"most": -1}, "most must be above 0"),
]


@pytest.mark.parametrize(("section", "said"), WRONG)
def test_a_wrong_experiment_is_refused_with_what_to_do(section: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"\[experiment\].*{said}"):
        parse_settings({"experiment": {"name": "exploring", **section}})


def test_a_share_of_apprentice_mode_is_a_share() -> None:
    with pytest.raises(InvalidSettings, match=r"\[apprentice\] share must lie in 0\.\.1"):
        parse_settings({"apprentice": {"share": 1.5}})


def test_thirds_are_fine() -> None:
    assert len(Experiment("x", tuple(f"thompson-{n}=0.33333333333" for n in range(3))).shares) == 3
