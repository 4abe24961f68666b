"""Single decisions, item by item: why each was shown and what came of it."""

from __future__ import annotations

from honeyguide.evaluate.report.html import Column, Markup, element, join, nothing, paragraph, section, table
from honeyguide.evaluate.report.words import count, example_summary, level_word, number, number_words, percent
from honeyguide.evaluate.results import ExampleDecision, ReplayReport, ShownItem

_COLUMNS = (
    Column("Slot", numeric=True),
    Column("Item", heads_row=True),
    Column("What happened"),
    Column("Why it is there"),
    Column("Expected reward", numeric=True),
    Column("Chance of this slot", numeric=True),
)


def decisions_section(report: ReplayReport) -> Markup:
    """The example decisions, each folded away but the first."""
    n = len(report.examples)
    title = f"{number_words(n)} decision{'' if n == 1 else 's'}" if n else "Decisions"
    if not n:
        return section("decisions", title, nothing("No example decisions were recorded in this replay."))
    intro = paragraph(
        "Each page was written down as it was decided, chance included. ",
        element("span", "explored", class_="badge explored"),
        " marks an item that the exploit-only page would not have shown; ",
        element("span", "discovery", class_="badge good"),
        " marks something the user had never bought before. The chance of a slot (its propensity) is the "
        "probability with which the item was drawn for it, given the slots above.",
    )
    folded = [_example(example, opened=i == 0) for i, example in enumerate(report.examples)]
    return section("decisions", title, intro, *folded)


def _example(example: ExampleDecision, *, opened: bool) -> Markup:
    summary = element(
        "summary",
        element("span", f"{example.time}, user {example.user_id}", class_="when"),
        " ",
        element("span", example_summary(example), class_="note"),
    )
    reason = paragraph(
        element("b", f"Level {number(example.level, 2)}, {level_word(example.level)}."),
        " ",
        f"Reason: {example.reason.rstrip('.')}.",
    )
    page = table(
        f"The page of decision {example.decision_id}: {count(len(example.items), 'item')} in page order",
        _COLUMNS,
        [_item(slot, item) for slot, item in enumerate(example.items, start=1)],
    )
    return element("details", summary, reason, page, open="open" if opened else None)


def _item(slot: int, item: ShownItem) -> list[Markup | str]:
    badge = element("span", "explored", class_="badge explored") if item.explored else ""
    chance = percent(item.propensity, 1) if item.propensity >= 0.001 else "<\u00a00.1\u00a0%"
    return [
        number(slot),
        join([item.text, " ", badge]),
        _outcome(item),
        item.why,
        number(item.expected, 3),
        chance,
    ]


def _outcome(item: ShownItem) -> Markup:
    badges: list[Markup] = []
    if item.reward > 0:
        grade = "rewarded" if item.reward == 1 else f"rewarded {number(item.reward, 2)}"
        badges.append(element("span", grade, class_="badge accent"))
    if item.discovery:
        badges.append(element("span", "discovery", class_="badge good"))
    return join(badges, " ") if badges else element("span", "nothing", class_="note")
