"""A fit reads of users what they did before their first page, stores how they lean, and forgets it with them."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.checks import user_model as laws
from honeyguide.data.table import to_us
from honeyguide.explore import kinds_chosen, learned
from honeyguide.explore.kinds_chosen import Chosen
from honeyguide.explore.kinds_leaning import Leaner, Reads
from honeyguide.explore.prior import UserSums, learn_prior
from honeyguide.explore.shared import posterior_of
from honeyguide.fit import fit
from honeyguide.fit.leaning import reads_of
from honeyguide.interests.users import BEHAVIOUR, ShopperModel
from honeyguide.shop.releases import POLICY
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT
from tests.test_sequence_shopper import shopper
from tests.test_user_model import HISTORY, START, model


def test_what_is_read_is_the_network_s_the_taste_and_four_counts() -> None:
    with_network = shopper()
    histories = [
        laws.folded(with_network, HISTORY),
        with_network.start(),
        laws.folded(with_network, HISTORY[:1]),
    ]
    now_us = to_us(START + timedelta(days=40))
    reads = reads_of(with_network, histories, [now_us] * 3)
    assert with_network.sequence is not None
    width = with_network.sequence.network.shape.width
    assert reads.vectors.shape == (3, width + 3)
    assert reads.known.tolist() == [True, False, True]
    alone = with_network.sequence.network.read(histories[0].recent.sequence(now_us))[0]
    assert reads.vectors[0, :width] == pytest.approx(alone, abs=1e-5)
    assert reads.vectors[0, width:] == pytest.approx(with_network.vector(histories[0]))
    # six purchases of four items: 0 three times, 1, 3 and 5 once each, on five days
    assert reads.counts[0] == pytest.approx(np.log1p([4, 6, len(histories[0].days), 6 / 4]))
    assert reads.counts[1] == pytest.approx(np.zeros(4))


def test_without_a_network_taste_and_counts_are_left() -> None:
    plain: ShopperModel = model()
    reads = reads_of(plain, [laws.folded(plain, HISTORY), plain.start()], [0, 0])
    assert reads.vectors.shape == (2, 3)
    assert reads.known.tolist() == [True, False]


@pytest.fixture(scope="module")
def leaning_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop fitted anew with a leaning, which its few users would not call for by themselves."""

    def leaning(sums: UserSums, reads: Reads | None, *, seed: int, **_: object) -> Chosen:
        assert reads is not None
        leaner = Leaner.learn(sums, learn_prior(sums), reads, ridge=3.0)
        return Chosen(leaner.kinds, leaner, None)

    target = tmp_path_factory.mktemp("leaning")
    workspace = Workspace.at(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), target))
    shutil.rmtree(workspace.models / POLICY)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(learned, "choose_kinds", leaning)
        fit(workspace, now=NOW, until=SPLIT)
    return workspace.root


def test_how_users_lean_is_stored_with_the_policy_and_forgotten_with_them(leaning_shop: Path) -> None:
    state = artifacts.load(Workspace.at(leaning_shop).models, POLICY).arrays
    assert len(artifacts.unpack_strings(state["leanings.names"], state["leanings.offsets"])) > 0
    posterior = posterior_of(state)
    name = artifacts.unpack_strings(state["leanings.names"], state["leanings.offsets"])[0]
    posterior.forget(name)
    left = posterior.state()
    assert name not in artifacts.unpack_strings(left["leanings.names"], left["leanings.offsets"])
    assert np.array_equal(posterior.belief(name).mean, posterior.belief("nobody").mean)


def test_pages_folded_one_by_one_are_those_folded_by_the_fit(leaning_shop: Path) -> None:
    state = artifacts.load(Workspace.at(leaning_shop).models, POLICY).arrays
    fitted = posterior_of(state)
    name = next(user for user in fitted.users)
    x = np.random.default_rng(0).uniform(-1, 1, size=(6, fitted.prior.dim)).astype(np.float32)
    r = np.linspace(0, 1, 6)
    other = posterior_of(state)
    fitted.observe(name, x, r)
    for row in range(6):
        other.observe(name, x[[row]], r[[row]])
    assert np.array_equal(fitted.belief(name).mean, other.belief(name).mean)


def test_a_small_shop_keeps_one_gaussian(tmp_path_factory: pytest.TempPathFactory) -> None:
    found = artifacts.load(Workspace.at(fitted_shop(tmp_path_factory.getbasetemp())).models, POLICY)
    assert found.meta["prior"] is None  # fewer users than can say anything about each other
    assert "prior.mean" in found.arrays
    assert found.arrays["prior.mean"].shape[0] >= len(BEHAVIOUR)


def test_a_shop_of_more_users_is_judged(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.at(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path))
    shutil.rmtree(workspace.models / POLICY)
    monkeypatch.setattr(kinds_chosen, "_FEWEST", 10)
    fit(workspace, now=NOW, until=SPLIT)
    judged = artifacts.load(workspace.models, POLICY).meta["prior"]
    assert judged["users"] == 12
    assert judged["kinds"]["likelihood"] >= judged["one"]["likelihood"]
