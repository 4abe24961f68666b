"""Pages that span much, by determinants worked out by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from honeyguide.checks.policy import DIM, N, PolicyCheck, equal_states, page, pmf_of, train, world
from honeyguide.explore.capped import Capped
from honeyguide.explore.closed_form import Softmax
from honeyguide.explore.determinantal import Determinantal
from honeyguide.explore.diverse import Diverse
from honeyguide.explore.page import rest
from honeyguide.explore.thompson import Thompson
from honeyguide.types import Floats, Policy
from tests.policy_cases import cases, posterior

FLOOR = 1e-9
LIKE = (0, DIM)
MAKES: dict[str, Callable[[int], Policy]] = {
    "Determinantal": lambda dim: Determinantal(
        Thompson(posterior(dim), level=0.5, floor=0.05, draws=64), diversity=0.3, like=(1, dim)
    ),
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def kernel(seed: int = 0) -> Floats:
    """(n, n): what is alike in `world`, where all items are of length 1."""
    x = world(seed).features.astype(np.float64)
    found = 0.99 * (1 + x @ x.T) / 2
    np.fill_diagonal(found, 1.0)
    return found


def volume(matrix: Floats, rows: Sequence[int]) -> float:
    return float(np.linalg.det(matrix[np.ix_(rows, rows)]))


def greedy() -> Thompson:
    policy = Thompson(posterior(DIM), level=0.0, floor=FLOOR, draws=2)
    train(policy, 20)
    return policy


def test_sameness_is_what_the_page_loses_of_its_volume() -> None:
    policy = Determinantal(greedy(), diversity=0.5, like=LIKE)
    shown, features, matrix = [3, 8, 1], world().features, kernel()
    for row in set(range(N)) - set(shown):
        found = policy.sameness(features[[row]], features[shown])
        ratio = volume(matrix, [*shown, row]) / volume(matrix, shown)
        assert found == pytest.approx([-np.log(ratio)])


def test_sameness_by_hand() -> None:
    policy = Determinantal(greedy(), diversity=0.5, like=LIKE)
    vectors = np.array([[1, 0], [-1, 0], [0, 1], [0, 0]], dtype=np.float32)
    found = policy.sameness(vectors, vectors[:1])
    # the same 1 - 0.99², the opposite 1, at right angles or of no direction 1 - 0.495²
    assert np.exp(-found) == pytest.approx([1 - 0.99**2, 1.0, 1 - 0.495**2, 1 - 0.495**2])


@pytest.mark.parametrize("diversity", [0.1, 0.4, 0.8])
def test_the_exploit_only_page_is_the_greedy_one_of_the_largest_determinant(diversity: float) -> None:
    inner = greedy()
    for seed in range(5):
        candidates, matrix = world(seed), kernel(seed)
        scores = inner.plan(candidates).scores
        weight = diversity / (1 - diversity) * np.ptp(scores)
        wanted: list[int] = []
        for _ in range(5):
            left = [row for row in range(N) if row not in wanted]
            worth = [scores[row] + weight * np.log(volume(matrix, [*wanted, row])) for row in left]
            wanted.append(left[int(np.argmax(worth))])
        found = page(Determinantal(inner, diversity=diversity, like=LIKE), candidates, seed, k=5)
        assert found.chosen.tolist() == wanted


def test_with_softmax_inside_a_slot_is_drawn_as_by_a_determinantal_point_process() -> None:
    inner = Softmax(posterior(DIM), temperature=0.2, floor=FLOOR)
    train(inner, 10)
    scores = inner.plan(world()).scores
    width = float(np.ptp(scores))
    policy = Determinantal(inner, diversity=0.2 / (0.2 + width), like=LIKE)  # its weight is the temperature
    quality = np.exp(scores / 0.2 / 2)
    matrix = quality[:, None] * kernel() * quality
    shown = [2, 7]
    left, asked = rest(world(), shown)
    ratios = np.array([volume(matrix, [*shown, row]) / volume(matrix, shown) for row in left.tolist()])
    assert pmf_of(policy, asked) == pytest.approx(ratios / ratios.sum(), abs=1e-6)


def test_it_goes_by_the_whole_page_and_maximal_marginal_relevance_by_one_item_of_it() -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1]], dtype=np.float32)
    inner = greedy()
    spanning, nearest = (
        kind(inner, diversity=0.5, like=LIKE).sameness(vectors[2:], vectors[:2])
        for kind in (Determinantal, Diverse)
    )
    assert nearest[0] == pytest.approx(nearest[1])  # each as near to the first
    assert spanning[0] > spanning[1]  # but between the first two there is less that is new


def test_it_is_restored_as_it_was_inside_another_too() -> None:
    policy = Capped(MAKES["Determinantal"](DIM), share=0.5)  # type: ignore[arg-type]
    train(policy, 5)
    twin = Capped.from_state(policy.state())
    assert isinstance(twin.inner, Determinantal)
    assert equal_states(policy.state(), twin.state())
    assert twin.inner.name == "dpp-0.3-thompson-0.5"
