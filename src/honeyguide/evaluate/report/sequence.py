"""How the sequence model learned, and whether its chances can be believed."""

from __future__ import annotations

from functools import partial

from honeyguide.evaluate.report.charts import Series, line_chart
from honeyguide.evaluate.report.html import Column, Markup, figure, nothing, paragraph, section, table
from honeyguide.evaluate.report.words import number, percent
from honeyguide.evaluate.results import Band, Curve, ReplayReport, SequenceLearning
from honeyguide.interests.forecast import ForecastQuality

_TITLE = "What users take next"
_WEIGHT = "weight of "  # so curves of weights are called
_ASKED = {"coverage": "Coverage", "calibration": "Proportions"}
_OVERFIT = 1.02  # times its lowest point: a held-out loss that ends above it has turned


def sequence_section(report: ReplayReport) -> Markup:
    """Curves of losses and of what is found, and the forecast's quality; or that no such model was fitted."""
    learning = report.sequence
    if learning is None:
        return section("sequence", _TITLE, nothing("No sequence model was fitted. Set steps in [sequence]."))
    curves = {curve.name: curve for curve in learning.curves}
    parts = [paragraph(_told(learning, curves))]
    if learning.forecast is not None:
        parts.append(_forecast(learning.forecast))
    if "train" in curves:
        parts += [_losses(curves["train"], curves["held_out"]), _found(curves["ndcg"], curves["recall"])]
    weighed = [name.removeprefix(_WEIGHT) for name in curves if name.startswith(_WEIGHT)]
    if weighed:
        parts += [_wanted(weighed, curves), _weights(weighed, curves)]
    return section("sequence", _TITLE, *parts)


def _told(learning: SequenceLearning, curves: dict[str, Curve]) -> str:
    if "ndcg" not in curves:
        return learning.mixture
    ndcg, held = curves["ndcg"], curves["held_out"].values
    best = max(range(len(ndcg.values)), key=ndcg.values.__getitem__)
    text = (
        f"Of {number(ndcg.steps[-1])} epochs the network of epoch {number(ndcg.steps[best])} was kept: it found the "
        f"events that were held out best, with an NDCG@10 of {number(ndcg.values[best], 4)} among all items."
    )
    if held[-1] > _OVERFIT * min(held):
        text += " The held-out loss rose again at the end: it began to learn by heart."
    return f"{text} {learning.mixture}"


def _losses(train: Curve, held_out: Curve) -> Markup:
    return figure(
        partial(
            line_chart,
            [
                Series("Learned from", "c1", _bands(train)),
                Series("Held out", "served", _bands(held_out), emphasised=True),
            ],
            [f"epoch {epoch}" for epoch in train.steps],
            label="Line chart: the loss on what is learned from and on what is held out, by epoch.",
            decimals=2,
            height=240.0,
        ),
        title="Loss by epoch",
        note="In nats, lower is better. Where one falls and the other rises, the model learns by heart. "
        "What is learned from is measured with dropout, so it may lie above.",
    )


def _found(ndcg: Curve, recall: Curve) -> Markup:
    return figure(
        partial(
            line_chart,
            [
                Series("NDCG@10", "served", _bands(ndcg), emphasised=True),
                Series("Recall@10", "c2", _bands(recall)),
            ],
            [f"epoch {epoch}" for epoch in ndcg.steps],
            label="Line chart: NDCG and recall at 10 on the events held out, by epoch.",
            decimals=3,
            height=220.0,
        ),
        title="Found among all items, of the events held out",
        note="What the user took before is left out of the ranking.",
    )


def _wanted(names: list[str], curves: dict[str, Curve]) -> Markup:
    return figure(
        _by_epoch(
            names,
            curves,
            "held_out ",
            label="Line chart: how far what is likely next is from what else is wanted, by epoch.",
            decimals=3,
            height=220.0,
        ),
        title="Wanted beside",
        note="For users held out, in nats, lower is better: how far the mean of all users' chances is from even over "
        "the catalogue, and how far each user's interests to come are from the proportions of their past.",
    )


def _weights(names: list[str], curves: dict[str, Curve]) -> Markup:
    return figure(
        _by_epoch(
            names,
            curves,
            _WEIGHT,
            label="Line chart: the weights of what is wanted beside, by epoch.",
            decimals=2,
            height=200.0,
        ),
        title="How much each counts",
        note="Beside telling what followed, which counts 1. At 0 the model learned without.",
    )


def _by_epoch(
    names: list[str], curves: dict[str, Curve], of: str, *, label: str, decimals: int, height: float
) -> partial[Markup]:
    """A line for each name, of the curve that is called `of` and the name."""
    lines = [
        Series(_ASKED[name], f"c{place}", _bands(curves[of + name])) for place, name in enumerate(names, 1)
    ]
    epochs = [f"epoch {epoch}" for epoch in curves["ndcg"].steps]
    return partial(line_chart, lines, epochs, label=label, decimals=decimals, height=height)


def _forecast(quality: ForecastQuality) -> Markup:
    rows = [
        ["Next interest among the first three", percent(quality.top_3, 1), percent(quality.usual_top_3, 1)],
        ["Next interest, when new to the user, among the first three new ones",
         _share(quality.new_top_3), _share(quality.usual_new_top_3)],
        ["Log loss", number(quality.log_loss, 3), number(quality.usual_log_loss, 3)],
        ["Calibration error of the likeliest interest", number(quality.ece, 3), ""],
        ["Calibration error of going to a new interest", number(quality.new_ece, 3), ""],
    ]  # fmt: skip
    return table(
        "Forecast of the next interest",
        [
            Column("Figure", heads_row=True),
            Column("Forecast", numeric=True),
            Column("What is usual", numeric=True),
        ],
        rows,
        note=f"On the next events of {number(quality.users)} users that neither the model nor the forecast was "
        f"learned from; {number(quality.new_users)} went to an interest that was new to them. What is usual says the "
        "same for everybody: how often each interest is taken in the shop.",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value, 1)


def _bands(curve: Curve) -> tuple[Band, ...]:
    return tuple(Band(value, value, value) for value in curve.values)
