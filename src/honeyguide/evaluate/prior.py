"""What the fitted policy's artefact says of the prior over users: how well it foresees those who were held out."""

from __future__ import annotations

from pathlib import Path

from honeyguide import artifacts
from honeyguide.explore.kinds_chosen import PriorQuality
from honeyguide.shop.releases import POLICY


def read_prior(models: Path) -> PriorQuality | None:
    """Why this prior was chosen; None where there were too few users, or an old release fitted it."""
    judged = artifacts.load(models, POLICY).meta.get("prior")
    return None if judged is None else PriorQuality.of(judged)
