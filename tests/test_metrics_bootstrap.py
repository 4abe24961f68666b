"""The clustered bootstrap: it covers, it keeps users whole, it pairs."""

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate import bootstrap
from honeyguide.evaluate.bootstrap import bootstrap_mean
from honeyguide.types import Floats, Rows


def shopping(seed: int, users: int = 30) -> tuple[Floats, Rows]:
    """Values of true mean 0 whose users differ a lot, a different number of visits each."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), rng.integers(2, 9, size=users))
    return rng.normal(size=users)[user] + 0.5 * rng.normal(size=len(user)), user


def covered(clustered: bool) -> float:
    hits = []
    for seed in range(200):
        values, user = shopping(seed)
        labels = user if clustered else np.arange(len(values))
        _, low, high = bootstrap_mean(values, labels, np.random.default_rng(seed), 200)
        hits.append(low <= 0 <= high)
    return float(np.mean(hits))


def test_the_interval_covers_where_users_differ_and_would_not_if_visits_were_resampled() -> None:
    assert 0.88 <= covered(clustered=True) <= 0.99
    assert covered(clustered=False) < 0.8


def test_the_mean_is_the_mean_and_lies_inside() -> None:
    values, user = shopping(1)
    mean, low, high = bootstrap_mean(values, user, np.random.default_rng(0), 500)
    assert low < mean == values.mean() < high


def test_labels_are_only_labels_and_the_generator_is_all_the_randomness() -> None:
    values, user = shopping(2)
    named = np.array([f"user-{number:03}" for number in user])
    first = bootstrap_mean(values, user, np.random.default_rng(3), 100)
    assert bootstrap_mean(values, named, np.random.default_rng(3), 100) == first
    assert bootstrap_mean(values, user, np.random.default_rng(4), 100) != first


def test_it_equals_resampling_users_one_by_one() -> None:
    """The slow definition: draw users, pool all their visits, average."""
    values, user = shopping(3, users=8)
    rng = np.random.default_rng(5)
    times = np.random.default_rng(5).multinomial(8, np.full(8, 1 / 8), size=50)
    slow = [
        np.concatenate([np.tile(values[user == u], count) for u, count in enumerate(row)]).mean()
        for row in times
    ]
    _, low, high = bootstrap_mean(values, user, rng, 50, level=0.8)
    assert (low, high) == pytest.approx(tuple(np.quantile(slow, [0.1, 0.9])))


def test_memory_is_bounded_and_the_answer_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    values, user = shopping(4)
    whole = bootstrap_mean(values, user, np.random.default_rng(6), 101)
    monkeypatch.setattr(bootstrap, "_BLOCK", 300)
    assert bootstrap_mean(values, user, np.random.default_rng(6), 101) == pytest.approx(whole, rel=1e-12)


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    values, user = shopping(5)
    other = values + 0.1 + 0.05 * np.random.default_rng(1).normal(size=len(values))
    _, low, high = bootstrap_mean(other - values, user, np.random.default_rng(0), 300)
    _, one_low, one_high = bootstrap_mean(values, user, np.random.default_rng(0), 300)
    assert 0 < low < 0.1 < high
    assert high - low < 0.2 * (one_high - one_low)


def test_what_cannot_be_resampled_is_refused() -> None:
    rng, values, user = np.random.default_rng(0), np.array([1.0, 2.0]), np.array([0, 1])
    for bad in (np.array([1.0, np.nan]), np.array([[1.0, 2.0]]), np.array([1.0])):
        with pytest.raises(InvalidInput, match="finite"):
            bootstrap_mean(bad, user, rng, 10)
    with pytest.raises(InvalidInput, match="at least 2 clusters"):
        bootstrap_mean(values, np.array([0, 0]), rng, 10)
    with pytest.raises(InvalidInput, match="resamples"):
        bootstrap_mean(values, user, rng, 1)
    with pytest.raises(InvalidInput, match="level"):
        bootstrap_mean(values, user, rng, 10, level=1.0)
