"""What the catalogue is about, and what one user was believed to want before and after."""

from __future__ import annotations

from functools import partial

from honeyguide.evaluate.report.charts import Shift, shift_chart
from honeyguide.evaluate.report.html import (
    Column,
    Markup,
    element,
    figure,
    join,
    nothing,
    paragraph,
    section,
    table,
)
from honeyguide.evaluate.report.interest_map import interest_map
from honeyguide.evaluate.report.words import NBSP, count, number
from honeyguide.evaluate.results import Interest, ReplayReport

ROWS = 24
"""How many interests the before-and-after chart holds; the rest are counted in its note."""


def map_section(report: ReplayReport) -> Markup:
    """The map of interests, and the same as a table."""
    title = "The interest map of the catalogue"
    tops = [interest for interest in report.interests if interest.parent is None]
    if not tops:
        return section("map", title, nothing("No interests have been found in this catalogue yet."))
    intro = paragraph(
        f"The texts of the items were read by a language model and sorted into {count(len(tops), 'top interest')} "
        f"and {count(len(report.interests) - len(tops), 'finer one')}. Items that lie close together read alike; "
        "the directions themselves mean nothing."
    )
    chart = figure(
        partial(
            interest_map,
            report.interests,
            report.points,
            label=f"Map of {len(report.points)} items in {len(tops)} named interests; the table below lists them.",
        ),
        title=f"{count(len(report.points), 'item')} by interest" if report.points else "The interests",
        note="A dot is an item, a ring is a finer interest (the larger, the more items). "
        "Point at a ring for its name and numbers.",
    )
    listing = element("details", element("summary", "The same as a table"), _interest_table(report, tops))
    return section("map", title, intro, chart, listing)


def _interest_table(report: ReplayReport, tops: list[Interest]) -> Markup:
    def finer(top: Interest) -> str:
        leaves = [leaf for leaf in report.interests if leaf.parent == top.node]
        return "; ".join(f"{leaf.name} ({number(leaf.n_items)})" for leaf in leaves)

    return table(
        "Top interests with the number of items, the number of purchases, and the finer interests below them",
        [
            Column("Interest", heads_row=True),
            Column("Items", numeric=True),
            Column("Purchases", numeric=True),
            Column("Finer interests (items)"),
        ],
        [[top.name, number(top.n_items), number(top.n_purchases), finer(top)] for top in tops],
    )


def beliefs_section(report: ReplayReport) -> Markup:
    """One user's interests before the replay and after it."""
    title = "One household's interests, before and after"
    if not report.beliefs:
        return section("beliefs", title, nothing("No user's interests were recorded in this replay."))
    ranked = sorted(report.beliefs, key=lambda belief: -belief.after.mean)
    rows = [Shift(b.name, b.before, b.after, number(b.evidence)) for b in ranked[:ROWS]]
    rest = len(ranked) - len(rows)
    left_out = f" The {count(rest, 'weakest interest is', 'weakest interests are')} left out." if rest else ""
    note = (
        "Further right: more wanted, as the reward expected from showing a typical item; at 0 none is expected. "
        f"The line is the 95{NBSP}% interval: the shorter it is, the surer the belief. "
        f"The number at the end counts the purchases that were seen in between.{left_out}"
    )
    keys = (("before the replay", "muted"), ("after it", "served"))
    legend = join([element("span", words, class_=f"key {colour}") for words, colour in keys], " ")
    chart = figure(
        partial(
            shift_chart,
            rows,
            label=f"Interval chart: {len(rows)} interests of user {report.user_id} before and after the replay.",
            remark_title="purchases",
        ),
        title=f"User {report.user_id}",
        note=join([note, element("span", legend, class_="legend")]),
    )
    intro = paragraph(
        "What the replay taught about one user. Where there were purchases the belief moves and its interval "
        "shrinks; where there were none, the doubt stays."
    )
    return section("beliefs", title, intro, chart)
