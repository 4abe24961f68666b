"""Items that nobody has taken yet get the share of a page that the shop lets them have, and no more."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honeyguide.checks.policy import DIM, N, PolicyCheck, equal_states, page, pmf_of, train, world
from honeyguide.errors import InvalidInput
from honeyguide.explore.capped import Capped
from honeyguide.explore.diverse import Diverse, Inner
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.types import Candidates, Policy
from tests.policy_cases import cases, posterior

FLOOR = 0.1
FRESH = np.arange(N) < 5


def thompson(level: float = 0.5) -> Thompson:
    return Thompson(posterior(DIM), level=level, floor=FLOOR, draws=64)


INNER: dict[str, Callable[[], Inner]] = {
    "Thompson": thompson,
    "Greedy": lambda: thompson(0.0),
    "Tradeoff": lambda: Tradeoff(posterior(DIM), epsilon=0.2, page_size=3, floor=FLOOR, draws=64),
    "Diverse": lambda: Diverse(thompson(), diversity=0.5, like=(0, DIM)),
}
MAKES: dict[str, Callable[[int], Policy]] = {
    "Capped": lambda dim: Capped(Thompson(posterior(dim), level=0.5, floor=0.05, draws=64), share=0.2),
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def with_fresh(seed: int = 0) -> Candidates:
    return replace(world(seed), fresh=FRESH)


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1.0])
def test_fresh_items_have_their_share_at_most_and_every_item_its_floor(name: str, share: float) -> None:
    inner = INNER[name]()
    train(inner, 20)
    for seed in range(4):
        candidates = with_fresh(seed)
        pmf, free = pmf_of(Capped(inner, share=share), candidates), pmf_of(inner, candidates)
        wanted = float(free[FRESH].sum())
        # the floors of five items of twelve are 0.1 · 5 / 12: that much they always have
        assert pmf[FRESH].sum() == pytest.approx(min(wanted, max(share, FLOOR * 5 / 12)))
        assert pmf.sum() == pytest.approx(1.0)
        assert pmf.min() >= FLOOR / N - 1e-12
        if wanted <= share:
            assert np.array_equal(pmf, free)


def test_what_fresh_items_may_not_have_goes_to_what_would_be_shown_without_them() -> None:
    inner = thompson(0.0)
    train(inner, 30)
    scores = inner.plan(world()).scores
    fresh = np.zeros(N, dtype=np.bool_)
    order = np.argsort(-scores)
    fresh[order[:2]] = True  # the best two are new
    pmf = pmf_of(Capped(inner, share=0.3), replace(world(), fresh=fresh))
    assert pmf[order[0]] == pytest.approx(0.3 - FLOOR / N)
    assert pmf[order[1]] == pytest.approx(FLOOR / N)
    # of the part that is left most goes to the best of the others, not evenly to all of them
    assert pmf[order[2]] > 0.6 > 0.1 > pmf[order[3:]].sum()


def test_among_fresh_items_the_share_is_kept_in_proportion_to_what_they_win() -> None:
    inner = thompson(1.0)
    capped, free = pmf_of(Capped(inner, share=0.2), with_fresh()), pmf_of(inner, with_fresh())
    beyond = (capped[FRESH] - FLOOR / N) / (free[FRESH] - FLOOR / N)
    assert np.ptp(beyond) < 1e-9
    assert beyond[0] < 1


@pytest.mark.parametrize("fresh", [None, np.zeros(N, dtype=np.bool_), np.ones(N, dtype=np.bool_)])
def test_where_nothing_or_everything_is_fresh_there_is_no_cap(fresh: Any) -> None:
    inner = thompson()
    candidates = replace(world(), fresh=fresh)
    assert np.array_equal(pmf_of(Capped(inner, share=0.1), candidates), pmf_of(inner, candidates))


def test_over_pages_fresh_items_have_their_share_in_expectation() -> None:
    policy = Capped(thompson(1.0), share=0.25)
    pages = [page(policy, with_fresh(), seed, k=4) for seed in range(800)]
    shown = np.array([FRESH[decision.chosen].mean() for decision in pages])
    assert shown.mean() <= 0.25 + 4.5 * shown.std() / np.sqrt(len(shown))
    weights = np.array([1 / decision.propensities.prod() for decision in pages])
    bound = 5 * weights.std() / np.sqrt(len(weights))
    assert weights.mean() == pytest.approx(12 * 11 * 10 * 9, abs=bound)


def test_the_order_of_the_candidates_does_not_matter_to_the_cap() -> None:
    policy = Capped(INNER["Tradeoff"](), share=0.1)
    train(policy, 15)
    order = np.random.default_rng(1).permutation(N)
    straight, shuffled = pmf_of(policy, with_fresh()), pmf_of(policy, with_fresh().take(order))
    assert straight[order] == pytest.approx(shuffled, abs=1e-9)


@pytest.mark.parametrize("name", INNER)
def test_a_capped_policy_comes_back_with_what_is_inside(name: str) -> None:
    policy = Capped(INNER[name](), share=0.15)
    train(policy, 10)
    twin = Capped.from_state(policy.state())
    assert equal_states(policy.state(), twin.state())
    assert policy.posterior is policy.inner.posterior
    assert (twin.name, twin.share, type(twin.inner)) == (policy.name, 0.15, type(policy.inner))
    assert np.array_equal(pmf_of(policy, with_fresh()), pmf_of(twin, with_fresh()))


NO_INNER: Any = Capped(thompson(), share=0.5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Capped(thompson(), share=-0.1), "share"),
        (lambda: Capped(thompson(), share=1.1), "share"),
        (lambda: Capped(thompson(), share=np.nan), "share"),
        (lambda: Capped(NO_INNER, share=0.1), "made of"),
        (lambda: replace(world(), fresh=np.zeros(N - 1, dtype=np.bool_)), "fresh must be"),
        (lambda: replace(world(), fresh=np.zeros(N, dtype=np.int64)), "bool"),
        (lambda: replace(world(), leads=np.zeros(N)), "above 0"),
        (lambda: replace(world(), leads=np.full(N, np.inf)), "finite"),
        (lambda: replace(world(), leads=np.ones(N + 1)), "leads must be"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
