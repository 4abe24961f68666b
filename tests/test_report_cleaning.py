"""What cleaning found is on the page, with the rows that show why, and none of it can break out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from honeyguide.data.clean import RuleCount
from honeyguide.data.cleaning.report import Evidence, ExampleEvent, MendedText, SuspectUser
from honeyguide.evaluate.report.cleaning import cleaning_section
from honeyguide.evaluate.results import ReplayReport
from tests.report_fixture import make_report

RULES = (
    RuleCount("bot", 9, "taken for a bot", evidence=Evidence(users=(SuspectUser("u-77", 2500, 812, 0.25, None),))),
    RuleCount(
        "near_duplicate", 3, "told twice",
        evidence=Evidence(events=(ExampleEvent("e-1", "2024-05-01", "ann", "view", None, None, "0.5 s after e-0"),)),
    ),
    RuleCount(
        "text", 2, "written plainly", table="items", effect="mended",
        evidence=Evidence(texts=(MendedText("i1, title", "<b>Shoe</b>", "Shoe"),)),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def report() -> ReplayReport:
    found = make_report()
    return replace(found, cleaning=replace(found.cleaning, rules=RULES))


def test_every_rule_is_shown_with_what_convicted_whom(report: ReplayReport) -> None:
    html = cleaning_section(report)
    for word in ("u-77", "2,500", "812", "0.25", "e-1", "0.5 s after e-0", "near duplicate", "items, mended"):
        assert word in html
    assert html.count("<table") == 5
    assert "&lt;b&gt;Shoe&lt;/b&gt;" in html
    assert "<b>Shoe" not in html


def test_without_evidence_there_is_no_heading_for_it(report: ReplayReport) -> None:
    bare = tuple(replace(rule, evidence=Evidence()) for rule in RULES)
    assert "What convicted them" not in cleaning_section(
        replace(report, cleaning=replace(report.cleaning, rules=bare))
    )
