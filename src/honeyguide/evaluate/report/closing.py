"""What stands behind the numbers: limits, timings, words."""

from __future__ import annotations

from honeyguide.evaluate.report.charts import share_bar
from honeyguide.evaluate.report.html import Column, Markup, element, nothing, paragraph, section, table
from honeyguide.evaluate.report.words import NBSP, number
from honeyguide.evaluate.results import ReplayReport

_GLOSSARY = (
    ("Exploit-only page", "the items that the model expects to do best, with no slot spent on finding out"),
    (
        "Exploration level",
        "how much of the doubt about a user's taste is acted on, from 0 (none) to 1 (all of it)",
    ),
    ("Discovery", "a rewarded item that the user had never bought before"),
    (
        "Propensity",
        "the chance with which an item was drawn for its slot; written down so that pages can be judged fairly",
    ),
    (
        f"95{NBSP}% interval",
        "the range that would hold the true value in 95 of 100 such replays, with other users from the same shop",
    ),
)

_HOW_TO_READ = (
    "Look at intervals before means: where an interval of a difference contains 0, chance alone may explain it.",
    "Compare policies by the paired difference, not by whether their own intervals overlap.",
    "A discovery is worth more than its reward: it is what the next pages learn from.",
    "Early weeks pay for later ones: judge exploring by where the added-up difference ends, not where it begins.",
)


def limits_section(report: ReplayReport) -> Markup:
    """What the replay can prove, how to read it, how long it took, and five words."""
    words = [part for term, meaning in _GLOSSARY for part in (element("dt", term), element("dd", meaning))]
    return section(
        "limits",
        "What this replay can and cannot prove",
        paragraph(report.caveat, class_="caveat"),
        element("h3", "How to read this page"),
        element("ul", *(element("li", line) for line in _HOW_TO_READ)),
        element("h3", "Five words"),
        element("dl", *words, class_="glossary"),
        element("h3", "How long it took"),
        _timings(report),
    )


def _timings(report: ReplayReport) -> Markup:
    if not report.seconds:
        return nothing("No timings were recorded.")
    total = sum(seconds for _, seconds in report.seconds)
    most = max(seconds for _, seconds in report.seconds)
    rows: list[list[str]] = [
        [stage, number(seconds, 1), share_bar(max(seconds, 0.0), most)] for stage, seconds in report.seconds
    ]
    return table(
        "Wall-clock seconds of each stage",
        [Column("Stage", heads_row=True), Column("Seconds", numeric=True), Column("Share")],
        [*rows, ["Together", number(total, 1), ""]],
    )
