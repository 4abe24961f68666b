"""A fit is computed once, from the past only, and to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from honeyguide import artifacts
from honeyguide.data.ingest import import_files
from honeyguide.errors import InvalidInput
from honeyguide.fit import fit
from honeyguide.shop.releases import FORECAST, ITEMS, POLICY, SEQUENCE, TAXONOMY, USERS
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Progress, silent
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT, START

LEARNED = (TAXONOMY, ITEMS, SEQUENCE, FORECAST, USERS, POLICY)
EXPENSIVE = {
    "Clean",
    "Discover interests and name them",
    "Learn what users take next",
    "Learn which interest comes next",
    "Rebuild past visits as pages",
    "Learn the prior over users",
}


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Workspace:
    return Workspace.at(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path))


def versions(workspace: Workspace) -> dict[str, str]:
    return {name: artifacts.current(workspace.models, name) for name in LEARNED}


class Watched:
    """Remembers which stages were opened, and interrupts one of them."""

    def __init__(self, interrupt: str | None = None) -> None:
        self.opened: list[str] = []
        self.interrupt = interrupt

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        self.opened.append(name)
        if name == self.interrupt:
            raise KeyboardInterrupt
        yield silent


def test_a_second_fit_computes_nothing_again(workspace: Workspace) -> None:
    before = versions(workspace)
    watched = Watched()
    fit(workspace, now=NOW, until=SPLIT, stage=watched.stage)
    assert versions(workspace) == before
    assert not EXPENSIVE & set(watched.opened)
    assert not (workspace.cache / "sequence").exists()  # what it learned on the way is not kept


@pytest.mark.parametrize("where", sorted(EXPENSIVE - {"Clean"}))
def test_an_interrupted_fit_goes_on_to_the_same_result(workspace: Workspace, where: str) -> None:
    before = versions(workspace)
    for name in LEARNED:
        (workspace.models / name / artifacts.POINTER).unlink()
    with pytest.raises(KeyboardInterrupt):
        fit(workspace, now=NOW, until=SPLIT, stage=Watched(where).stage)
    fit(workspace, now=NOW, until=SPLIT)
    assert versions(workspace) == before


def test_nothing_after_the_split_is_learned_from(workspace: Workspace, tmp_path: Path) -> None:
    before = versions(workspace)
    later = tmp_path / "later.csv"
    rows = [
        f"late-{n},{(SPLIT + timedelta(days=n)).isoformat()},user-{n % 3},purchase,sku-{n % 48}"
        for n in range(30)
    ]
    later.write_text("\n".join(["event_id,time,user_id,kind,item_id", *rows]))
    import_files(workspace.data, [later], now=NOW)
    report = fit(workspace, now=NOW, until=SPLIT)
    assert report.cleaning.events_in == 990
    assert versions(workspace) == before


def test_more_past_changes_what_is_learned(workspace: Workspace) -> None:
    before = versions(workspace)
    fit(workspace, now=NOW, until=SPLIT + timedelta(weeks=2))
    assert versions(workspace)[POLICY] != before[POLICY]


def test_a_damaged_artefact_is_made_anew(workspace: Workspace) -> None:
    before = versions(workspace)
    file = workspace.models / TAXONOMY / before[TAXONOMY] / artifacts.ARRAYS
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    fit(workspace, now=NOW, until=SPLIT)
    assert versions(workspace) == before
    artifacts.load(workspace.models, TAXONOMY)


def test_a_moment_before_everything_says_so(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="no events are left"):
        fit(workspace, now=NOW, until=START)
