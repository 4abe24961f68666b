"""How the sequence model of a shop was learned and how good its forecast is, out of their artefacts; no torch."""

from __future__ import annotations

from pathlib import Path

from honeyguide import artifacts
from honeyguide.evaluate.results import Curve, SequenceLearning
from honeyguide.interests.forecast import ForecastQuality
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.shop.releases import FORECAST, SEQUENCE


def read_sequence(models: Path) -> SequenceLearning:
    """What the artefacts say of their own making; NoArtifact where there are none."""
    made = artifacts.load(models, SEQUENCE)
    model = SequenceModel.from_state(made.arrays, made.meta["sequence"])
    memory, factors, likeness = model.memory, model.factors, model.likeness
    mixture = "The network is not mixed with what others took along: that found no more."
    if memory is not None:
        mixture = (
            "Mixed in is what others took along with the user's items; the network's guess counts for "
            f"{memory.backoff:g} pairs, and an item {memory.recency:g} times as much as the one taken after it."
        )
    if factors is not None:
        mixture += (
            f" Factors of all that users ever took tell {factors.share:.0%} of what is new to a user, likelier the "
            "more of its kind they took."
        )
    if likeness is not None:
        mixture += (
            f" An item of {likeness.rarity:g} events is half known by the items alike, one without any wholly, at "
            f"{likeness.newness:.0%} of their rate."
        )
    judged = artifacts.load(models, FORECAST).meta["quality"]
    forecast = None if judged is None else ForecastQuality(**judged)
    return SequenceLearning(_curves(made.meta["curve"]), mixture, forecast)


def _curves(points: list[dict[str, float]]) -> tuple[Curve, ...]:
    names = [name for name in points[0] if name != "epoch"] if points else []
    epochs = tuple(max(1, round(point["epoch"])) for point in points)
    return tuple(Curve(name, epochs, tuple(point[name] for point in points)) for name in names)
