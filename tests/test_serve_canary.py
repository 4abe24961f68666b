"""A canary serves its share of the users, learns beside the others, and is taken back where it does harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from honeyguide import Honeyguide
from honeyguide.cli.app import main
from honeyguide.errors import InvalidInput, UnknownRelease
from honeyguide.fit import fit
from honeyguide.shop import canary, releases
from honeyguide.shop.releases import Release
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Decision
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_fixture import Served, served, soon
from tests.shop_fixture import NOW, SPLIT

BEFORE = (NOW - timedelta(hours=4)).isoformat()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def newer(folder: Path) -> Release:
    """A second release, which does not serve yet."""
    return fitted_anew(folder, 1)


@pytest.fixture
def it(folder: Path, newer: Release) -> Iterator[Served]:
    with served(folder) as running:
        yield running


def _start(it: Served, newer: Release, share: float) -> None:
    started = it.client.post(f"/v1/models/{newer.number}/canary", json={"share": share})
    assert started.status_code == 200, started.text
    soon(lambda: _share(it) == share)


def _share(it: Served) -> float:
    text = it.client.get("/metrics").text
    (value,) = re.findall(r"^honeyguide_canary_share (\S+)$", text, re.MULTILINE)
    return float(value)


def _canary(it: Served) -> dict[str, Any]:
    found: dict[str, Any] = it.client.get("/v1/models").json()["canary"]
    return found


def test_each_user_is_served_by_their_arm_and_the_same_journal_teaches_both(
    folder: Path, newer: Release
) -> None:
    with served(folder) as it:
        stable = it.shop.fitted.version
        _start(it, newer, 0.4)
        split = canary.Canary(newer.number, 0.4, NOW).split
        pages = [it.decide(f"visitor-{n}", k=2) for n in range(40)]
        for page in pages:
            assert it.feedback(page).status_code == 200
        arms = [split.arm_of(page["user_id"]) for page in pages]
        assert {page["model_version"] for page, arm in zip(pages, arms, strict=True) if arm} == {
            newer.model_version
        }
        assert {page["model_version"] for page, arm in zip(pages, arms, strict=True) if not arm} == {stable}
        assert {page["policy_version"] for page in pages} == {split.label}
        assert all(it.knows(page["user_id"]) for page in pages[:4])
        again = it.decide("visitor-1", k=2, decision_id=pages[1]["decision_id"])
        assert again == pages[1]
        # it is promoted: everybody is served by it, and what it knows is its own replay of the whole journal
        assert it.client.post(f"/v1/models/{newer.number}/activate").status_code == 200
        soon(lambda: it.decide("visitor-0", k=1)["model_version"] == newer.model_version)
        assert _share(it) == 0.0
        assert it.client.get("/v1/models").json()["canary"] is None
        assert {it.decide(f"visitor-{n}", k=1)["policy_version"] for n in range(5)} == {"tradeoff"}
    with Honeyguide.open(folder, clock=lambda: NOW) as opened:
        assert opened.fitted.release == newer
        assert all(len(opened.history(f"visitor-{n}").rows) for n in range(40))


def test_one_that_does_harm_is_taken_back_by_itself(
    it: Served, newer: Release, caplog: pytest.LogCaptureFixture
) -> None:
    stable = it.shop.fitted.version
    _start(it, newer, 0.5)
    for n in range(90):
        page = it.decide(f"visitor-{n}", k=2, now=BEFORE)
        if page["model_version"] == stable:
            assert it.feedback(page, time=BEFORE).status_code == 200
    soon(lambda: _share(it) == 0.0)
    told = _canary(it)
    assert told["number"] == newer.number
    assert re.fullmatch(
        r"\d+ users: it earns [\d.]+ less a user at the least \(-[\d.]+\)", told["taken_back"]
    )
    assert {it.decide(f"visitor-{n}", k=1)["model_version"] for n in range(10)} == {stable}
    (said,) = [record for record in caplog.records if record.getMessage() == "canary taken back"]
    assert said.facts["why"] == told["taken_back"]  # type: ignore[attr-defined]


def test_one_that_fails_costs_nobody_a_page_and_is_taken_back(
    it: Served, newer: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Honeyguide.draw

    def draw(self: Honeyguide, user_id: str, **asked: Any) -> Decision:
        if self.fitted.version == newer.model_version:
            raise RuntimeError("a fault that nobody thought of")
        return real(self, user_id, **asked)

    monkeypatch.setattr(Honeyguide, "draw", draw)
    _start(it, newer, 0.5)
    versions = {it.decide(f"visitor-{n}", k=1)["model_version"] for n in range(20)}
    assert versions == {it.shop.fitted.version}
    assert _canary(it)["taken_back"] == "it failed 3 times, last with RuntimeError"
    assert _share(it) == 0.0


def test_who_is_erased_is_known_to_no_canary(it: Served, newer: Release) -> None:
    _start(it, newer, 0.9)
    split = canary.Canary(newer.number, 0.9, NOW).split
    user = next(f"user-{n}" for n in range(24) if split.arm_of(f"user-{n}"))
    it.feedback(it.decide(user, k=1))
    assert it.knows(user)
    assert it.client.delete(f"/v1/users/{user}").status_code == 200
    assert not it.knows(user)
    soon(lambda: _share(it) == 0.9)  # opened anew, from the release without them
    assert not it.knows(user)
    assert it.decide(user, k=1)["policy_version"] == split.label


def test_what_is_no_canary_is_refused(
    folder: Path, newer: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    models = folder / "models"
    with pytest.raises(InvalidInput, match="serves everybody"):
        canary.start(models, 1, 0.1, now=NOW)
    with pytest.raises(UnknownRelease, match="no release 7"):
        canary.start(models, 7, 0.1, now=NOW)
    for share in (0.0, 1.0):
        with pytest.raises(InvalidInput, match="share"):
            canary.start(models, 2, share, now=NOW)
    started = canary.start(models, 2, 0.1, now=NOW)
    grown = canary.start(models, 2, 0.3, now=NOW + timedelta(days=1))
    users = [f"user-{n}" for n in range(200)]
    assert all(grown.split.arm_of(user) for user in users if started.split.arm_of(user))
    with pytest.raises(SystemExit, match="0"):
        main(["models", "list", str(folder)])
    assert "Canary: release 2 for 30% of the users; it serves them" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["models", "list", str(folder), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in told["releases"]] == [2, 1]
    assert (told["canary"]["number"], told["canary"]["share"], told["canary"]["taken_back"]) == (2, 0.3, "")
    releases.activate(models, 1)
    assert canary.read(models) is None


@pytest.mark.slow
def test_a_fit_begins_as_a_canary_where_the_settings_say_so(folder: Path) -> None:
    workspace = Workspace.at(folder)
    path = folder / "honeyguide.toml"
    path.write_text(path.read_text().replace("canary = 0.0", "canary = 0.2"))
    fit(workspace, now=NOW, until=SPLIT + timedelta(weeks=2))
    found, active = canary.serving(workspace.models), releases.active(workspace.models)
    assert active is not None
    assert found == canary.Canary(active.number + 1, 0.2, NOW)
    canary.take_back(workspace.models, found, "it earned less")
    fit(workspace, now=NOW + timedelta(days=1), until=SPLIT + timedelta(weeks=2))
    assert canary.serving(workspace.models) is None  # the same fit again is not tried again
