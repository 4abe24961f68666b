"""How the language model learned: the shop's own text, by losses and what it made of held-out texts, and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from honeyguide.evaluate.report.charts import Mark, Series, line_chart
from honeyguide.evaluate.report.html import Column, Markup, figure, nothing, paragraph, section, table
from honeyguide.evaluate.report.words import number, percent
from honeyguide.evaluate.results import Band, Curve, LanguageModel, ReplayReport, TaughtTask

_TITLE = "How the language model was adapted"
_POINTS = 40  # a curve is drawn as this many averages: single steps jump about
_WORDS = {
    "masked": "Hidden words",
    "following": "What follows what",
    "contrastive": "Taken together",
    "neighbours": "Neighbours among all items",
    "causal": "Reading on",
}
_COLOURS = ("c1", "c2", "c3", "c4")


def language_section(report: ReplayReport) -> Markup:
    """Loss curves and the held-out perplexity, or that the model was taken as it is."""
    language = report.language
    if language is None:
        words = (
            "The language model was taken as it is. Set steps in [adapt] to adapt it to the shop's own text."
        )
        return section("language", _TITLE, nothing(words))
    curves = {curve.name: curve for curve in language.curves}
    losses = [curves[name] for name in _WORDS if name in curves]
    parts = [paragraph(_told(language))]
    if losses:
        parts.append(_losses(losses))
    if "perplexity" in curves and language.before is not None:
        parts.append(_perplexity(curves["perplexity"], language.before))
    return section("language", _TITLE, *parts)


def taught_section(tasks: Sequence[TaughtTask]) -> Markup:
    """What each task reaches on examples that were looked at once, and how it came to; or that none was taught."""
    title = "What the language model was taught"
    if not tasks:
        return section("taught", title, nothing("No task was taught. Name some in [teach] to have them."))
    listing = table(
        "Tasks on examples that nothing was learned from and nothing was chosen by",
        [
            Column("Task", heads_row=True),
            Column("Figure"),
            Column("Untaught", numeric=True),
            Column("Taught", numeric=True),
            Column("Untaught is"),
            Column("Learned from", numeric=True),
            Column("Judged by", numeric=True),
            Column("Way"),
            Column("Trained", numeric=True),
        ],
        [_row(task) for task in tasks],
        note="Higher is better and 1 the best there is. Trained is the share of all parameters that was learned.",
    )
    drawn = [_learning(task, task.curve) for task in tasks if task.curve]
    return section("taught", title, listing, *drawn)


def _row(task: TaughtTask) -> list[str]:
    learned, _, judged = task.examples
    figures = [number(task.before, 3), number(task.after, 3)]
    counts = [number(learned), number(judged)]
    return [task.name, task.figure, *figures, task.baseline, *counts, task.way, percent(task.share, 1)]


def _learning(task: TaughtTask, curve: Curve) -> Markup:
    bands = tuple(Band(value, value, value) for value in curve.values)
    return figure(
        partial(
            line_chart,
            [Series(task.figure, "served", bands, emphasised=True)],
            [f"step {step}" for step in curve.steps],
            label=f"Line chart: {task.figure} of the task {task.name} on held-out examples while it was taught.",
            height=200.0,
        ),
        title=f"{task.name}: {task.figure} while it learned",
        note="On the examples that are chosen by; the weights of the highest point were kept.",
    )


def _told(language: LanguageModel) -> str:
    text = f"It learned for {number(language.steps)} steps from the shop's texts and behaviour."
    if language.before is None or language.after is None:
        return text
    return (
        f"{text} Perplexity says among how many words it is undecided for a hidden one. On texts that it never "
        f"learned from it fell from {number(language.before, 1)} to {number(language.after, 1)}."
    )


def _losses(curves: Sequence[Curve]) -> Markup:
    drawn = [_averaged(curve) for curve in curves]
    lines = [
        Series(_WORDS[curve.name], colour, tuple(Band(v, v, v) for v in values))
        for curve, colour, (_, values) in zip(curves, _COLOURS, drawn, strict=False)
    ]
    return figure(
        partial(
            line_chart,
            lines,
            [f"step {step}" for step in drawn[0][0]],
            label="Line chart: the loss of each objective while the language model learned.",
            height=260.0,
        ),
        title="Loss by objective",
        note="A point is the mean of the steps since the one before. Lower is better; objectives do not compare.",
    )


def _perplexity(curve: Curve, before: float) -> Markup:
    # the start is far above what follows, so it is told in words and the curve keeps its scale
    bands = tuple(Band(value, value, value) for value in curve.values)
    return figure(
        partial(
            line_chart,
            [Series("Held-out texts", "served", bands, emphasised=True)],
            [f"step {step}" for step in curve.steps],
            label="Line chart: perplexity on held-out texts while the language model learned.",
            decimals=1,
            marks=[Mark(before, "before")] if before < 3 * max(curve.values) else [],
            height=220.0,
        ),
        title="Perplexity on texts that were held out",
        note="The weights of the lowest point were kept.",
    )


def _averaged(curve: Curve) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Steps and values, thinned to means over equal parts."""
    parts = np.array_split(np.arange(len(curve.steps)), min(_POINTS, len(curve.steps)))
    steps = tuple(curve.steps[int(part[-1])] for part in parts)
    return steps, tuple(float(np.mean([curve.values[i] for i in part])) for part in parts)
