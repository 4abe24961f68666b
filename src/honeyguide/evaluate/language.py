"""How the language model of a shop was adapted, and which tasks it was taught, out of their artefacts; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from honeyguide import artifacts
from honeyguide.artifacts import Artifact
from honeyguide.errors import NoArtifact
from honeyguide.evaluate.results import Curve, LanguageModel, TaughtTask
from honeyguide.plm.files import LANGUAGE_MODEL
from honeyguide.plm.teach.plan import PREFIX, TASKS

_PREFIX = "curve."


def read_language_model(models: Path) -> LanguageModel | None:
    """What the artefact says of its own making; None where there is none."""
    try:
        made = artifacts.load(models, LANGUAGE_MODEL)
    except NoArtifact:
        return None
    curves = _curves(made)
    return LanguageModel(int(made.meta["steps"]), made.meta["before"], made.meta["after"], curves)


def read_tasks(models: Path, names: Sequence[str] = TASKS) -> tuple[TaughtTask, ...]:
    """What the artefacts of these tasks say of their making; those that were not taught are left out."""
    return tuple(
        _taught(artifacts.load(models, PREFIX + name))
        for name in names
        if artifacts.exists(models, PREFIX + name)
    )


def _taught(made: Artifact) -> TaughtTask:
    told = made.meta["task"]
    before, after = told["before"]["test"], told["after"]["test"]
    figure = told["figure"]
    curves = {curve.name: curve for curve in _curves(made)}
    learned, chosen, judged = told["examples"]
    return TaughtTask(
        name=told["name"],
        way=told["way"],
        share=told["share"],
        steps=told["steps"],
        examples=(learned, chosen, judged),
        baseline=told["baseline"],
        figure=figure,
        before=before[figure],
        after=after[figure],
        curve=curves.get(figure),
    )


def _curves(made: Artifact) -> tuple[Curve, ...]:
    return tuple(
        Curve(
            name.removeprefix(_PREFIX),
            tuple(int(step) for step in points[:, 0]),
            tuple(float(value) for value in points[:, 1]),
        )
        for name, points in sorted(made.arrays.items())
        if name.startswith(_PREFIX)
    )
