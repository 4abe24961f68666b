"""Figures over something as a picture, one line for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from honeyguide.errors import MissingExtra

Points = Sequence[tuple[float, float]]


def draw(lines: Mapping[str, Points], path: Path, *, title: str, x: str, y: str) -> None:
    """A PNG at `path`, its folder made; the first line is ours and drawn thick. MissingExtra without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "dev") from error
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for row, (name, points) in enumerate(lines.items()):
        axes.plot(*zip(*points, strict=True), marker="o", label=name, linewidth=1.2 if row else 2.6)
    axes.set_ylim(bottom=0)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
