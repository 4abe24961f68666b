"""How each policy did, and how the exploration level moved."""

from __future__ import annotations

from functools import partial

from honeyguide.evaluate.report.charts import Mark, Series, line_chart, whisker_cell
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
from honeyguide.evaluate.report.scale import padded
from honeyguide.evaluate.report.words import (
    NBSP,
    decimals_for,
    interval,
    is_exploit_only,
    number,
    points,
    served_policy,
    signed,
    signed_interval,
    verdict_word,
    week_label,
)
from honeyguide.evaluate.results import Band, LevelWeek, PolicyResult, Promise, ReplayReport

COLOURS = 7
"""How many colours the style sheet holds beside the served policy's, c0 to c6; an eighth starts again."""

FAR = 4.0
"""A cumulative difference this many times beyond the served policy's own range is named, not drawn."""


def policies_section(report: ReplayReport) -> Markup:
    """Table of the policies, reward by week, and the difference that adds up."""
    intro = paragraph(
        "Every policy met the same visits. The exploit-only page always shows what the model expects to do best; "
        "the other policies try more or less of what is not yet known."
    )
    charts = (
        [_reward_chart(report), _cumulative_chart(report)]
        if report.weeks
        else [nothing("There are no weeks to draw.")]
    )
    return section("policies", "How each policy did", intro, _policy_table(report), *charts)


def colours_of(report: ReplayReport) -> dict[str, str]:
    """The colour class of each policy: the served one has its own, the others take turns."""
    # exploit-only comes first: the first colour is the plain ink of the yardstick
    ranked = sorted(report.policies, key=lambda policy: not is_exploit_only(policy))
    others = [policy.policy for policy in ranked if policy.policy != report.served]
    return {report.served: "served"} | {name: f"c{i % COLOURS}" for i, name in enumerate(others)}


def _policy_table(report: ReplayReport) -> Markup:
    columns = [
        Column("Policy", heads_row=True),
        Column("Rewarded items per page"),
        Column("Difference to exploit-only"),
        Column("Discoveries per page"),
        Column("Discovered interests per page"),
        Column("Expected of earned"),
    ]
    ranked = sorted(report.policies, key=lambda policy: -policy.reward.mean)
    return table(
        f"Means per page with 95{NBSP}% intervals, best first",
        columns,
        [_policy_row(policy, report) for policy in ranked],
        note="A dot is the mean, the line through it is where the true mean plausibly lies. The difference "
        "is paired, page by page on the same visits, "
        "so it can be sure even where the means overlap. An interest is discovered, once, by who had never "
        "reacted to anything of it and then buys something of it, or reacts to two of its items, on a page. "
        "Expected of earned is how many times what its pages earned a policy had expected of them, and in brackets "
        "the same of all items that it chose among: choosing the best chooses what is overestimated.",
    )


def _policy_row(policy: PolicyResult, report: ReplayReport) -> list[Markup | str]:
    colour = "served" if policy.policy == report.served else "plain"
    rewards = [each.reward for each in report.policies]
    found = [each.discoveries for each in report.policies]
    interests = [each.interests for each in report.policies]
    differences = [each.versus_greedy for each in report.policies]
    badge = element("span", "served", class_="badge accent") if colour == "served" else ""
    exploit = is_exploit_only(policy)
    difference = policy.versus_greedy
    return [
        join([policy.title, " ", badge]),
        _level_cell(policy.reward, rewards, colour),
        "the yardstick" if exploit else _difference_cell(difference, differences, colour),
        _level_cell(policy.discoveries, found, colour),
        _level_cell(policy.interests, interests, colour),
        _promised(policy.promise),
    ]


def _promised(promise: Promise | None) -> str:
    return "" if promise is None else f"{promise.shown:.2f} ({promise.offered:.2f})"


def _level_cell(band: Band, all_bands: list[Band], colour: str) -> Markup:
    decimals = decimals_for(all_bands)
    drawn = whisker_cell(band, _domain(all_bands), colour=colour)
    return _measured(drawn, number(band.mean, decimals), interval(band, decimals))


def _difference_cell(band: Band, all_bands: list[Band], colour: str) -> Markup:
    decimals = decimals_for(all_bands)
    drawn = whisker_cell(band, _domain([*all_bands, Band(0.0, 0.0, 0.0)]), colour=colour, zero=True)
    measured = _measured(drawn, signed(band.mean, decimals), signed_interval(band, decimals))
    return join([measured, element("small", f"{verdict_word(band)} exploit-only")])


def _measured(drawn: Markup, value: str, ends: str) -> Markup:
    return join(
        [
            drawn,
            element("span", element("b", value), " ", element("span", ends, class_="ends"), class_="measure"),
        ]
    )


def _domain(bands: list[Band]) -> tuple[float, float]:
    return padded([end for band in bands for end in (band.low, band.mean, band.high)], 0.02)


def _reward_chart(report: ReplayReport) -> Markup:
    colours = colours_of(report)
    lines = [_series(policy, policy.weekly_reward, colours, report) for policy in report.policies]
    return figure(
        partial(
            line_chart,
            lines,
            _labels(report),
            label=f"Line chart: rewarded items per page by week, {len(lines)} policies; the table has the means.",
            decimals=decimals_for([band for line in lines for band in line.bands]),
            height=400.0,
        ),
        title="Rewarded items per page, week by week",
        note=f"Bands are 95{NBSP}% intervals; the axis does not start at 0. "
        "Point at a line to see its band and its numbers.",
    )


def _cumulative_chart(report: ReplayReport) -> Markup:
    colours = colours_of(report)
    shown = [policy for policy in report.policies if _near(policy, report) and not is_exploit_only(policy)]
    if not shown:
        return nothing("The served policy is the exploit-only page: there is no difference to add up.")
    lines = [_series(policy, policy.cumulative, colours, report) for policy in shown]
    return figure(
        partial(
            line_chart,
            lines,
            _labels(report),
            label="Line chart: rewarded items gained or lost against the exploit-only page, added up week by week.",
            say=signed,
            decimals=0,
            marks=[Mark(0.0, "exploit-only page")],
            height=300.0,
        ),
        title="Rewarded items gained against the exploit-only page, added up",
        note="Above the line: more than a page that never explores would have earned up to that week. "
        + _far_note(report),
    )


def _far_note(report: ReplayReport) -> str:
    far = [policy for policy in report.policies if not _near(policy, report)]
    if not far:
        return ""
    named = ", ".join(f"{policy.title} ({signed(policy.cumulative[-1].mean)} items)" for policy in far)
    return f"Too far off this scale to draw: {named}."


def _near(policy: PolicyResult, report: ReplayReport) -> bool:
    """Whether the policy's line fits a chart that still shows how the served policy moves."""
    served = served_policy(report)
    reach = max(max(abs(band.low), abs(band.high)) for band in served.cumulative)
    return policy is served or reach == 0 or max(abs(band.mean) for band in policy.cumulative) <= FAR * reach


def _series(
    policy: PolicyResult, bands: tuple[Band, ...], colours: dict[str, str], report: ReplayReport
) -> Series:
    return Series(policy.title, colours[policy.policy], bands, emphasised=policy.policy == report.served)


def _labels(report: ReplayReport) -> list[str]:
    return [week_label(week) for week in report.weeks]


def levels_section(report: ReplayReport) -> Markup:
    """The exploration level by week, and what it was expected to cost."""
    title = "How the exploration level moved"
    intro = paragraph(
        "The exploration level says how much of a page is spent on finding out: at 0 every slot goes to what is "
        "already believed best, at 1 the doubt about what a user likes decides freely. "
        "It is chosen anew for every page."
    )
    if not report.levels:
        return section("levels", title, intro, nothing("No exploration levels were recorded in this replay."))
    return section("levels", title, intro, _level_chart(report.levels), _cost_chart(report))


def _level_chart(levels: tuple[LevelWeek, ...]) -> Markup:
    lines = [
        Series("Median page", "served", tuple(Band(w.median, w.p10, w.p90) for w in levels), emphasised=True),
        Series("Mean", "c1", tuple(Band(w.mean, w.mean, w.mean) for w in levels)),
    ]
    return figure(
        partial(
            line_chart,
            lines,
            [week_label(week.week) for week in levels],
            label="Line chart: median exploration level by week, with the range of the middle 80 % of pages.",
            low=0.0,
            height=240.0,
        ),
        title="Exploration level by week",
        note=f"The band holds the middle 80{NBSP}% of pages (from the 10th to the 90th percentile).",
    )


def _cost_chart(report: ReplayReport) -> Markup:
    costs = [100 * week.expected_cost for week in report.levels]
    return figure(
        partial(
            line_chart,
            [Series("Expected cost", "served", tuple(Band(c, c, c) for c in costs), emphasised=True)],
            [week_label(week.week) for week in report.levels],
            label="Line chart: the expected cost of exploring by week, against the limit that the shop has set.",
            say=points,
            decimals=2,
            marks=[Mark(100 * report.epsilon, "the shop's limit")],
            low=min(0.0, *costs),
            height=220.0,
        ),
        title="What exploring was expected to cost",
        note="Expected reward given up on the page as a share of the exploit-only page, before anything that is "
        "learned from it pays back.",
    )
