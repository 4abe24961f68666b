"""A shop that has a catalogue and no log begins anyway: it knows nobody, and learns from its own pages."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide.data.ingest import import_files
from honeyguide.errors import NotReady
from honeyguide.explore.learned import unlearned_posterior
from honeyguide.fit import fit
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Candidates
from tests.shop_fixture import NOW, START, small_settings, write_files

VISITS = 60
LIKED = "coffee beans"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "shop", small_settings(tmp_path))
    _, items = write_files(tmp_path)
    import_files(workspace.data, [items], now=NOW)
    return workspace


def liked_on(pages: list[list[str]]) -> int:
    return sum(LIKED in title for page in pages for title in page)


def test_it_learns_from_its_own_pages_what_everybody_likes(workspace: Workspace) -> None:
    report = fit(workspace, now=NOW)
    assert (report.events, report.users, report.pages, report.items) == (0, 0, 0, 48)
    pages = []
    with Honeyguide.open(workspace.root) as shop:
        titles = dict(zip(shop.fitted.catalog.ids, shop.fitted.catalog.titles, strict=True))
        for visit in range(VISITS):
            now = NOW + timedelta(hours=visit)
            decision = shop.decide(f"user-{visit}", k=4, now=now)
            assert (decision.propensities > 0).all()
            pages.append([titles[item] for item in decision.item_ids])
            for item in decision.item_ids:
                if LIKED in titles[item]:
                    shop.feedback(decision.decision_id, item, "purchase", now=now)
    # nobody comes twice: what is learned of some is used for others
    assert liked_on(pages[:1]) < 0.5 * 4
    assert liked_on(pages[-20:]) > 0.8 * 20 * 4


def test_a_log_that_comes_later_is_learned_from(workspace: Workspace, tmp_path: Path) -> None:
    before = fit(workspace, now=NOW)
    events, _ = write_files(tmp_path)
    import_files(workspace.data, [events], now=NOW)
    after = fit(workspace, now=NOW)
    assert (before.pages, after.events) == (0, 24 * 20 * 2)
    assert after.pages > 0
    assert after.version != before.version


def test_a_log_too_short_for_a_closed_reward_window_is_a_beginning(
    workspace: Workspace, tmp_path: Path
) -> None:
    events, _ = write_files(tmp_path)
    import_files(workspace.data, [events], now=NOW)
    report = fit(workspace, now=NOW, until=START + timedelta(days=3))
    assert report.pages == 0 < report.events
    with Honeyguide.open(workspace.root) as shop:
        known = next(user for user in (f"user-{n}" for n in range(24)) if len(shop.history(user).rows))
        assert shop.decide(known, k=4, now=NOW).user_id == known


def test_without_a_catalogue_it_says_what_to_run(tmp_path: Path) -> None:
    empty = Workspace.create(tmp_path / "shop", small_settings(tmp_path))
    with pytest.raises(NotReady, match="honeyguide import"):
        fit(empty, now=NOW)


def test_a_posterior_that_knows_nothing_expects_the_same_of_everything() -> None:
    posterior = unlearned_posterior(3)
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    about = posterior.about(Candidates("ann", tuple("abcde"), features, 3.0))
    assert about.mean == pytest.approx(np.full(5, 0.05))
    assert (about.variance() > 0).all()
