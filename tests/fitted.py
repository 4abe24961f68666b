"""The small shop, fitted once for all tests of a run; whoever writes to it takes a copy."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from honeyguide import artifacts
from honeyguide.shop import releases
from honeyguide.shop.releases import POLICY, Release
from honeyguide.shop.workspace import Workspace
from tests.once import made_once, run_folder
from tests.shop_fixture import NOW, fitted_workspace


@cache
def fitted_shop(base: Path) -> Path:
    """The folder of the fitted workspace under `base`: to read from, never to write to."""
    shared = made_once(run_folder(base) / "fitted-for-all", fitted_workspace)
    # a process has a copy of its own: two that fit one shop at once would refuse each other
    return Path(shutil.copytree(shared / "shop", base / "fitted-once"))


def copy_of(shop: Path, target: Path) -> Path:
    """A copy of a workspace that a test may change."""
    return Path(shutil.copytree(shop, target / "shop"))


def fitted_anew(shop: Path, turn: int) -> Release:
    """Another release, with the same policy under another version; it does not serve yet."""
    workspace = Workspace.at(shop)
    stored = artifacts.load(workspace.models, POLICY)
    artifacts.save(workspace.models, POLICY, stored.arrays, {**stored.meta, "turn": turn})
    return releases.record(workspace.models, workspace.items, made=NOW)
