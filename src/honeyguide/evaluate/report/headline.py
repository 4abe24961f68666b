"""The top of the page: what was replayed, the verdict in a sentence, and the figures that carry it."""

from __future__ import annotations

from honeyguide.evaluate.report.html import Markup, element, paragraph
from honeyguide.evaluate.report.words import (
    NBSP,
    count,
    decimals_for,
    interval,
    is_exploit_only,
    mean,
    number,
    percent,
    promise,
    relative,
    served_policy,
    signed_percent,
    verdict,
)
from honeyguide.evaluate.results import ReplayReport


def headline(report: ReplayReport) -> Markup:
    """The page's header: title, scope, verdict, key figures."""
    scope = (
        f"A replay of {count(report.pages, 'page')} for {count(report.users, 'user')}, "
        f"{count(report.k, 'item')} a page, {report.first_day} to {report.last_day}."
    )
    kept = promise(report)
    return element(
        "header",
        paragraph("Honeyguide replay report", class_="eyebrow"),
        element("h1", report.shop),
        paragraph(scope, class_="scope"),
        paragraph(verdict(report), class_="verdict"),
        paragraph(kept, class_="promise") if kept else "",
        element("dl", *_figures(report), class_="figures"),
    )


def _figures(report: ReplayReport) -> list[Markup]:
    served = served_policy(report)
    decimals = decimals_for([served.reward])
    found = decimals_for([served.discoveries])
    new = decimals_for([served.interests])
    return [
        _figure(
            "Rewarded items per page",
            number(served.reward.mean, decimals),
            f"95{NBSP}% interval {interval(served.reward, decimals)}: "
            "shown items that the user then wanted; a purchase counts 1, a weaker sign less",
        ),
        _difference(report),
        _figure(
            "Discoveries per page",
            number(served.discoveries.mean, found),
            f"95{NBSP}% interval {interval(served.discoveries, found)}: "
            "rewarded items bought for the first time, "
            f"about {number(served.discoveries.mean * report.pages)} in all",
        ),
        _figure(
            "Discovered interests per page",
            number(served.interests.mean, new),
            f"95{NBSP}% interval {interval(served.interests, new)}: "
            "interests new to the user, who then bought of them or reacted to two of their items",
        ),
        _level(report),
        _figure(
            "Promised floor",
            percent(1 - report.epsilon),
            "of what the exploit-only page is expected to earn; the shop sets this limit",
        ),
    ]


def _difference(report: ReplayReport) -> Markup:
    served = served_policy(report)
    share = relative(served)
    title = "Against the exploit-only page"
    if is_exploit_only(served):
        return _figure(title, "\u2013", "it is the exploit-only page")
    if share is None:
        return _figure(title, "\u2013", "the exploit-only page earned nothing, so there is no percentage")
    ends = f"{signed_percent(share.low)} to {signed_percent(share.high)}"
    note = f"95{NBSP}% interval {ends}: reward compared with a page that never explores, on the same visits"
    return _figure(title, signed_percent(share.mean), note)


def _level(report: ReplayReport) -> Markup:
    title = "Mean exploration level"
    if not report.levels:
        return _figure(title, "\u2013", "no levels were recorded")
    level = mean([week.mean for week in report.levels])
    return _figure(
        title, number(level, 2), "average of the weekly means; 0 never tries the unknown, 1 tries it freely"
    )


def _figure(title: str, value: str, note: str) -> Markup:
    return element(
        "div", element("dt", title), element("dd", value, class_="value"), element("dd", note, class_="note")
    )
