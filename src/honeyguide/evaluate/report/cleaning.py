"""What cleaning did: rule by rule, and for each the few rows that show why."""

from __future__ import annotations

from honeyguide.data.cleaning.report import ExampleEvent, MendedText, RuleCount, SuspectUser
from honeyguide.evaluate.report.charts import share_bar
from honeyguide.evaluate.report.html import Column, Markup, element, join, nothing, section, table
from honeyguide.evaluate.report.words import number, percent, small_share
from honeyguide.evaluate.results import ReplayReport

_UNKNOWN = "\u2013"
_CHARS = 160


def cleaning_section(report: ReplayReport) -> Markup:
    """What cleaning removed, rule by rule, and the evidence."""
    cleaning = report.cleaning
    totals = table(
        "Rows that cleaning was given, and rows that it passed on",
        [Column("Rows", heads_row=True), *(Column(t, numeric=True) for t in ("In", "Out", "Kept"))],
        [
            ["Events", *_totals(cleaning.events_in, cleaning.events_out)],
            ["Items", *_totals(cleaning.items_in, cleaning.items_out)],
        ],
    )
    if not cleaning.rules:
        return section(
            "cleaning", "What cleaning removed", totals, nothing("No cleaning rule had anything to do.")
        )
    evidence = [part for rule in cleaning.rules for part in _evidence(rule)]
    heading = [element("h3", "What convicted them")] if evidence else []
    return section("cleaning", "What cleaning removed", totals, _rules(report), *heading, *evidence)


def _totals(before: int, after: int) -> list[str]:
    return [number(before), number(after), percent(after / before, 2) if before else _UNKNOWN]


def _rules(report: ReplayReport) -> Markup:
    cleaning = report.cleaning
    most = max(rule.rows for rule in cleaning.rules)

    def share(rule: RuleCount) -> str:
        rows = cleaning.items_in if rule.table == "items" else cleaning.events_in
        return small_share(rule.rows / rows) if rows else _UNKNOWN

    return table(
        "Rows that each rule dropped, mended or only counted",
        [
            Column("Rule", heads_row=True),
            Column("Rows", numeric=True),
            Column("Share of its table"),
            Column("Were"),
            Column("Why"),
        ],
        [
            [
                _name(rule),
                number(rule.rows),
                join([share_bar(rule.rows, most), " ", element("span", share(rule), class_="measure")]),
                f"{rule.table}, {rule.effect}",
                rule.reason,
            ]
            for rule in cleaning.rules
        ],
        note="Shares are of all events, or of all items; the longest bar is the busiest rule.",
    )


def _evidence(rule: RuleCount) -> list[Markup]:
    """The tables for one rule; none where it met nothing."""
    found = rule.evidence
    parts = []
    if found.users:
        parts.append(_users(_name(rule), found.users))
    if found.events:
        parts.append(_events(_name(rule), found.events))
    if found.texts:
        parts.append(_texts(_name(rule), found.texts))
    return parts


def _name(rule: RuleCount) -> str:
    return rule.rule.replace("_", " ")


def _users(name: str, users: tuple[SuspectUser, ...]) -> Markup:
    titles = (
        "Events on the busiest day",
        "Items on that day",
        "Median gap of views, s",
        "Entropy of intervals, bits",
    )
    return table(
        f"{name}: the busiest of the users",
        [Column("User", heads_row=True), *(Column(title, numeric=True) for title in titles)],
        [
            [
                user.user_id[:_CHARS],
                number(user.events_on_busiest_day),
                number(user.items_on_busiest_day),
                _maybe(user.median_gap_s),
                _maybe(user.entropy_bits),
            ]
            for user in users
        ],
    )


def _maybe(value: float | None) -> str:
    return _UNKNOWN if value is None else number(value, 2)


def _events(name: str, events: tuple[ExampleEvent, ...]) -> Markup:
    return table(
        f"{name}: some of the events",
        [
            Column("Event", heads_row=True),
            *(Column(title) for title in ("Time", "User", "Kind", "Item")),
            Column("Value", numeric=True),
            Column("What about it"),
        ],
        [
            [
                *(text[:_CHARS] for text in (event.event_id, event.time, event.user_id, event.kind)),
                (event.item_id or _UNKNOWN)[:_CHARS],
                _maybe(event.value),
                event.note[:_CHARS],
            ]
            for event in events
        ],
    )


def _texts(name: str, texts: tuple[MendedText, ...]) -> Markup:
    return table(
        f"{name}: some of them, before and after",
        [Column("Of", heads_row=True), Column("Before"), Column("After")],
        [[text.subject[:_CHARS], text.before[:_CHARS], text.after[:_CHARS]] for text in texts],
    )
