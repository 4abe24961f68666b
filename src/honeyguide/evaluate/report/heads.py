"""Whether the chances of a click or a purchase can be believed, and what ranking by them finds."""

from __future__ import annotations

from functools import partial

from honeyguide.evaluate.report.html import Column, Markup, figure, join, nothing, paragraph, section, table
from honeyguide.evaluate.report.reliability import reliability_chart
from honeyguide.evaluate.report.words import number, small_share
from honeyguide.evaluate.results import HeadResult, ReplayReport

_TITLE = "Chances of what visitors do"


def heads_section(report: ReplayReport) -> Markup:
    """For each head its reliability, its figures, and what each ranking finds; or that there are none."""
    if not report.heads:
        none = "No chances of clicks or purchases were fitted: there were too few of them, or the fit is an old one."
        return section("heads", _TITLE, nothing(none))
    return section("heads", _TITLE, *(part for head in report.heads for part in _head(head, report.k)))


def _head(head: HeadResult, k: int) -> tuple[Markup, ...]:
    quality = head.quality
    told = (
        f"On {number(head.pages)} visits after the fit, {small_share(quality.base)} of the candidates had a "
        f"{head.kind} within the reward window. On average over them, the chance given is "
        f"{number(100 * quality.ece, 2)} percentage points away from how often it came among those alike."
    )
    return (
        paragraph(told),
        figure(
            partial(
                reliability_chart,
                quality.bins,
                label=f"Chart: how often a {head.kind} came, by the chance that was given.",
            ),
            title=f"Chance of a {head.kind}: given, and how often it came",
            note="On the broken line every chance is as often right as it says; above it they are too low.",
        ),
        join([_figures(head), _rankings(head, k)]),
    )


def _figures(head: HeadResult) -> Markup:
    quality = head.quality
    rows = [
        ["Log loss", number(quality.log_loss, 4), number(quality.base_log_loss, 4)],
        ["Put what came before what did not (AUC)", number(quality.auc, 3), number(0.5, 3)],
        ["Calibration error", number(quality.ece, 4), "-"],
    ]
    columns = [
        Column("Figure", heads_row=True),
        Column("Head", numeric=True),
        Column("The same for all", numeric=True),
    ]
    return table(f"How good the chances of a {head.kind} are", columns, rows)


def _rankings(head: HeadResult, k: int) -> Markup:
    rows = [[ranked.name, _said(ranked.ndcg), _said(ranked.new_ndcg)] for ranked in head.ranked]
    columns = [
        Column("Ranked by", heads_row=True),
        Column(f"NDCG@{k}", numeric=True),
        Column("Of items new to the visitor", numeric=True),
    ]
    note = "Among the candidates that recommendations are made of; what counts is what the visitor then did."
    return table(f"What a ranking finds of each {head.kind}", columns, rows, note=note)


def _said(value: float | None) -> str:
    return "-" if value is None else number(value, 4)
