"""Taking one user out of what was fitted: their history, and their part of the policy's first state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import Artifact
from honeyguide.errors import DamagedArtifact
from honeyguide.explore.shared import posterior_of
from honeyguide.shop import releases
from honeyguide.shop.models import Fitted, histories_from, histories_state
from honeyguide.shop.releases import POLICY, USERS
from honeyguide.types import State


def without(fitted: Fitted, user_id: str) -> Fitted:
    """The same fitted shop as if this user had no past; every stored version that held it is gone.

    Releases that are kept are rewritten, so that none of them brings the user back. What was learned from all users
    together (the prior, the models) stays as it is until the next fit.
    """
    models = fitted.finding.models
    moved = {
        USERS: _rewrite(models, USERS, lambda state: _without_history(state, user_id)),
        POLICY: _rewrite(models, POLICY, lambda state: _without_posterior(state, user_id)),
    }
    releases.rewritten(models, moved)
    policy_state = _without_posterior(fitted.policy_state, user_id)
    if policy_state is None and user_id not in fitted.histories:
        return fitted
    items, policy = fitted.version.split(".")
    return replace(
        fitted,
        histories={name: history for name, history in fitted.histories.items() if name != user_id},
        policy_state=fitted.policy_state if policy_state is None else policy_state,
        version=f"{items}.{moved[POLICY].get(policy, policy)}",
        release=_again(models, fitted),
    )


def _rewrite(models: Path, name: str, change: Callable[[State], State | None]) -> dict[str, str | None]:
    """Store every version anew that `change` changes, under its own metadata: old versions to new ones.

    None where a version is damaged and nothing serves it: it cannot be said to hold nobody, so it has to go.
    """
    moved: dict[str, str | None] = {}
    for version in artifacts.versions(models, name):
        try:
            stored = artifacts.load(models, name, version)
        except DamagedArtifact:
            if _serves(models, name, version):
                raise
            moved[version] = None
            continue
        state = change(stored.arrays)
        if state is not None:
            moved[version] = _saved(models, stored, state)
    return moved


def _saved(models: Path, stored: Artifact, state: State) -> str:
    return artifacts.save(models, stored.name, state, stored.meta, point=False)


def _serves(models: Path, name: str, version: str) -> bool:
    served = releases.active(models)
    return version in (artifacts.current(models, name), None if served is None else served.parts.get(name))


def _without_history(state: State, user_id: str) -> State | None:
    """None where it holds no such user."""
    histories = histories_from(state)
    if histories.pop(user_id, None) is None:
        return None
    return histories_state(histories)


def _without_posterior(state: State, user_id: str) -> State | None:
    """None where it holds no such user."""
    posterior = posterior_of(state)
    before = posterior.state()  # a shop that was fitted long ago may have stored less than a state holds now
    posterior.forget(user_id)
    after = posterior.state()
    return None if _equal(before, after) else after


def _again(models: Path, fitted: Fitted) -> releases.Release | None:
    """The release that was made of the one that serves here."""
    if fitted.release is None:
        return None
    number = fitted.release.number
    return next((one for one in releases.all_of(models) if one.number == number), fitted.release)


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
