"""Candidates are distinct, allowed, as many as asked for, and start with what the user knows."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from honeyguide.checks import user_model as laws
from honeyguide.data.table import to_us
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.interests.users import BEHAVIOUR, ShopperModel
from honeyguide.shop.candidates import CandidateSource
from tests.test_user_model import HISTORY, START, N, model

NOW_US = to_us(START + timedelta(days=40))


@pytest.fixture
def shopper() -> ShopperModel:
    return model()


@pytest.mark.parametrize("size", [1, 3, 6, 100])
@pytest.mark.parametrize("seed", range(5))
def test_candidates_are_distinct_and_as_many_as_there_are(
    shopper: ShopperModel, size: int, seed: int
) -> None:
    for history in (shopper.start(), laws.folded(shopper, HISTORY)):
        rows = CandidateSource(shopper, size=size).rows(history, NOW_US, np.random.default_rng(seed))
        assert len(set(rows.tolist())) == len(rows) == min(size, N)


def test_what_may_not_be_shown_is_no_candidate(shopper: ShopperModel) -> None:
    allowed = np.array([False, True, True, False, True, False])
    rows = CandidateSource(shopper, size=6).rows(
        laws.folded(shopper, HISTORY), NOW_US, np.random.default_rng(0), allowed=allowed
    )
    assert sorted(rows) == [1, 2, 4]


def test_what_the_user_takes_comes_first(shopper: ShopperModel) -> None:
    rows = CandidateSource(shopper, size=6).rows(
        laws.folded(shopper, HISTORY), NOW_US, np.random.default_rng(0)
    )
    assert rows[0] == 0  # three times, and lately


def test_a_stranger_gets_what_is_popular(shopper: ShopperModel) -> None:
    rows = CandidateSource(shopper, size=1).rows(shopper.start(), NOW_US, np.random.default_rng(0))
    ranked = CandidateSource(shopper, size=6).rows(shopper.start(), NOW_US, np.random.default_rng(0))
    assert len(rows) == 1
    assert ranked[0] == N - 1


def test_the_same_stream_gives_the_same_candidates(shopper: ShopperModel) -> None:
    source = CandidateSource(shopper, size=4)
    history = laws.folded(shopper, HISTORY)
    one, other = (source.rows(history, NOW_US, np.random.default_rng(3)) for _ in range(2))
    assert one.tolist() == other.tolist()


def test_doubt_shrinks_with_what_was_seen(shopper: ShopperModel) -> None:
    features = shopper.features(laws.folded(shopper, HISTORY), np.arange(N), NOW_US)
    posterior = UserPosterior(Prior.isotropic(shopper.dim))
    before = posterior.belief("ann").variance(features)
    posterior.observe("ann", features, np.full(N, 0.5))
    assert (posterior.belief("ann").variance(features) < before).all()
    assert features.shape[1] == len(BEHAVIOUR) + 3
