"""What was fitted: every file by its hash, and whether the parts of a release fit together."""

from __future__ import annotations

from pathlib import Path

from honeyguide import artifacts
from honeyguide.config import Settings
from honeyguide.errors import DamagedArtifact, HoneyguideError
from honeyguide.shop import releases
from honeyguide.shop.doctor.check import Check, broken, fine, warning
from honeyguide.shop.models import Fitted, load_fitted
from honeyguide.shop.releases import ENCODER, HEADS, POLICY, SEQUENCE, TEXTS
from honeyguide.shop.workspace import Workspace


def hashes(workspace: Workspace) -> Check:
    """Whether every file that was fitted is byte for byte what its manifest says."""
    models, damaged = workspace.models, []
    served = _served(models)
    looked = 0
    for home in sorted(path for path in models.iterdir() if path.is_dir()):
        for version in artifacts.versions(models, home.name):
            looked += 1
            try:
                artifacts.load(models, home.name, version)
            except DamagedArtifact as error:
                damaged.append((home.name, version, str(error)))
    if not damaged:
        return fine("artefacts", f"{looked} versions are what their manifests say")
    name, version, said = damaged[0]
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    if any((name, version) in served for name, version, _ in damaged):
        remedy = "Run: honeyguide models rollback, or honeyguide fit, or restore a backup"
        return broken("artefacts", said.partition(". It was")[0] + more, remedy)
    remedy = f"It does not serve. Run: honeyguide fit, or remove {models / name / version}"
    return warning("artefacts", said.partition(". It was")[0] + more, remedy)


def fit_together(workspace: Workspace, settings: Settings) -> tuple[Check, Fitted | None]:
    """Whether what serves can be opened, and its parts were made of each other; and the shop as it was fitted."""
    name, again = "release", f"Run: honeyguide fit {workspace.root}"
    try:
        fitted = load_fitted(workspace.models, workspace.items)
    except HoneyguideError as error:
        return broken(name, str(error), again), None
    release = fitted.release
    if release is None:
        said = "the shop was fitted before there were releases: a fit cannot be taken back"
        return warning(name, said, again), fitted
    wrong = _misfits(workspace.models, release, fitted.shopper_model(settings).dim)
    if wrong:
        return broken(name, f"release {release.number}: {wrong[0]}", again), fitted
    kept = len(releases.all_of(workspace.models))
    said = f"release {release.number} serves, its parts fit together; {kept} are kept"
    return fine(name, said), fitted


def _misfits(models: Path, release: releases.Release, features: int) -> list[str]:
    parts = release.parts
    policy = artifacts.load(models, POLICY, parts[POLICY]).meta
    wrong = []
    if policy.get("sequence") not in (None, parts.get(SEQUENCE)):
        wrong.append("the policy was fitted with another sequence model")
    if policy.get("features") not in (None, features):
        wrong.append(f"the policy knows {policy['features']} features, and the settings give {features}")
    if HEADS in parts and artifacts.load(models, HEADS, parts[HEADS]).meta["items"] != parts["items"]:
        wrong.append("the heads were fitted with other facts of items")
    if TEXTS in parts and artifacts.load(models, TEXTS, parts[TEXTS]).meta["encoder"] != parts.get(ENCODER):
        wrong.append("texts were read by another encoder")
    return wrong


def _served(models: Path) -> set[tuple[str, str]]:
    """The versions without which nothing is served."""
    try:
        release = releases.active(models)
    except DamagedArtifact:
        return {(releases.RELEASE, str(releases.active_id(models)))}
    if release is not None:
        return {*release.parts.items(), (releases.RELEASE, release.release_id)}
    named = [home.name for home in models.iterdir() if artifacts.exists(models, home.name)]
    return {(name, artifacts.current(models, name)) for name in named}
