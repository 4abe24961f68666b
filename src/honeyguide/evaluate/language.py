"""How the language model of a shop was adapted, out of its artefact; no torch."""

from __future__ import annotations

from pathlib import Path

from honeyguide import artifacts
from honeyguide.errors import NoArtifact
from honeyguide.evaluate.results import Curve, LanguageModel
from honeyguide.plm.files import LANGUAGE_MODEL

_PREFIX = "curve."


def read_language_model(models: Path) -> LanguageModel | None:
    """What the artefact says of its own making; None where there is none."""
    try:
        made = artifacts.load(models, LANGUAGE_MODEL)
    except NoArtifact:
        return None
    curves = tuple(
        Curve(
            name.removeprefix(_PREFIX),
            tuple(int(step) for step in points[:, 0]),
            tuple(float(value) for value in points[:, 1]),
        )
        for name, points in sorted(made.arrays.items())
        if name.startswith(_PREFIX)
    )
    return LanguageModel(int(made.meta["steps"]), made.meta["before"], made.meta["after"], curves)
