"""Taking one user out of what was fitted: their history, and their part of the policy's first state."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from honeyguide import artifacts
from honeyguide.explore.shared import posterior_of
from honeyguide.shop.models import POLICY, USERS, Fitted, histories_state
from honeyguide.types import State


def without(fitted: Fitted, user_id: str) -> Fitted:
    """The same fitted shop as if this user had no past; the stored versions that held it are gone.

    What was learned from all users together (the prior, the models) stays as it is until the next fit.
    """
    histories = {name: history for name, history in fitted.histories.items() if name != user_id}
    posterior = posterior_of(fitted.policy_state)
    before = posterior.state()  # a shop that was fitted long ago may have stored less than a state holds now
    posterior.forget(user_id)
    state = posterior.state()
    if len(histories) == len(fitted.histories) and _equal(state, before):
        return fitted
    models = fitted.finding.models
    _replace(models, USERS, histories_state(histories))
    version = _replace(models, POLICY, state)
    items, _ = fitted.version.split(".")
    return replace(fitted, histories=histories, policy_state=state, version=f"{items}.{version}")


def _replace(models: Path, name: str, state: State) -> str:
    """Store a new version under the present one's metadata, and remove all others, which hold who was erased."""
    version = artifacts.save(models, name, state, artifacts.load(models, name).meta)
    for other in artifacts.versions(models, name):
        if other != version:
            shutil.rmtree(models / name / other)
    return version


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
