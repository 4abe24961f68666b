"""The report is one safe, whole page, and it says what the numbers say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from honeyguide.data.clean import CleaningReport
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.report import render_report, write_report
from honeyguide.evaluate.results import Band, Interest, ReplayReport
from tests.report_fixture import around, make_report, with_difference

VOID = {"meta"}
EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&</style></title></svg>-->\x00"
HARMLESS = EVIL.translate(str.maketrans("<>\"'&/\x00", "aaa.waa"))
"""As long and as wide as EVIL, so that the drawings leave out and cut the same names."""


class Page(HTMLParser):
    """Checks that every tag is closed in order, and keeps what was met."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


@pytest.fixture(scope="module")
def report() -> ReplayReport:
    return make_report()


@pytest.fixture(scope="module")
def html(report: ReplayReport) -> str:
    return render_report(report)


def parsed(html: str) -> Page:
    page = Page(html)
    assert page.open == []
    return page


def plain(html: str) -> str:
    return unescape(parsed(html).text).replace("\u00a0", " ")


def poisoned(value: Any, text: str) -> Any:
    """The same record with `text` behind every string in it."""
    if isinstance(value, str):
        return value + text
    if isinstance(value, tuple):
        return tuple(poisoned(entry, text) for entry in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: poisoned(getattr(value, f.name), text) for f in dataclasses.fields(value)}
        return replace(value, **changed)
    return value


def test_the_page_is_well_formed_and_small(html: str) -> None:
    page = parsed(html)
    assert page.tags.count("html") == page.tags.count("title") - html.count("<title>") + 1 == 1
    assert len(html.encode()) < 2_000_000


def test_nothing_is_fetched_from_anywhere(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|xmlns", html.partition("<script>")[0])
    page = parsed(html)
    assert not {name for _, name, _ in page.attributes} & {"src", "srcset", "action", "style", "xlink:href"}
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert "default-src 'none'" in html.replace("&#x27;", "'")


def test_no_text_can_break_out(report: ReplayReport) -> None:
    clean, evil = (parsed(render_report(poisoned(report, text))) for text in (HARMLESS, EVIL))
    assert evil.tags == clean.tags
    assert {name for _, name, _ in evil.attributes} == {name for _, name, _ in clean.attributes}
    assert evil.tags.count("script") == 1
    assert "alert('x')" in evil.text
    assert "\x00" not in evil.text


def test_everything_in_the_report_is_on_the_page(report: ReplayReport, html: str) -> None:
    shown = plain(html)
    names = [policy.title for policy in report.policies]
    names += [node.name for node in report.interests]
    names += [word for rule in report.cleaning.rules for word in (rule.rule.replace("_", " "), rule.reason)]
    names += [item.text for example in report.examples for item in example.items]
    names += [example.decision_id for example in report.examples]
    names += [report.shop, report.caveat, report.user_id, *(stage for stage, _ in report.seconds)]
    assert [name for name in names if name not in shown] == []


def test_the_sections_come_in_order_under_one_title(html: str) -> None:
    page = parsed(html)
    headings = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    ids = [value for tag, name, value in page.attributes if tag == "section" and name == "id"]
    assert ids == [
        "policies",
        "levels",
        "map",
        "beliefs",
        "decisions",
        "cleaning",
        "sequence",
        "kinds",
        "heads",
        "language",
        "taught",
        "limits",
    ]
    all_ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(all_ids)) == len(all_ids)


def test_tables_and_drawings_can_be_read_aloud(html: str) -> None:
    page = parsed(html)
    assert page.tags.count("caption") == page.tags.count("table") > 10
    assert all(
        scope in {"col", "row"} for tag, name, scope in page.attributes if tag == "th" and name == "scope"
    )
    assert page.tags.count("th") == sum(tag == "th" and name == "scope" for tag, name, _ in page.attributes)
    drawings = re.findall(r"<svg[^>]*>", html)
    assert all(
        ('role="img"' in svg and "aria-label" in svg) or 'aria-hidden="true"' in svg for svg in drawings
    )


@pytest.mark.parametrize(
    ("difference", "verdict", "promise"),
    [
        (Band(0.03, 0.01, 0.05), "was better than the exploit-only page", "was kept"),
        (Band(0.01, -0.01, 0.03), "was not distinguishable from the exploit-only page", "was kept"),
        (Band(0.01, 0.0, 0.03), "was not distinguishable from the exploit-only page", "was kept"),
        (Band(-0.03, -0.09, -0.01), "was worse than the exploit-only page", "cannot be told"),
        (Band(-0.3, -0.4, -0.2), "was worse than the exploit-only page", "was not kept"),
    ],
)
def test_the_verdict_follows_the_interval(
    report: ReplayReport, difference: Band, verdict: str, promise: str
) -> None:
    shown = plain(render_report(with_difference(report, difference)))
    assert f"Honeyguide's trade-off {verdict}" in shown
    assert re.search(rf"promise of at least 95 % .* {promise}", shown)


def test_the_difference_in_percent_is_against_what_exploit_only_earned(report: ReplayReport) -> None:
    served = replace(report.policies[-1], reward=around(1.5, 0.1), versus_greedy=Band(0.5, 0.25, 0.75))
    shown = plain(render_report(replace(report, policies=(*report.policies[:-1], served))))
    assert "it earned 50.0 % more per page (95 % interval +25.0 % to +75.0 %)" in shown


def test_serving_exploit_only_leaves_nothing_to_judge(report: ReplayReport) -> None:
    shown = plain(render_report(replace(report, served="greedy")))
    assert "Exploit only is the exploit-only page itself, so there is no difference to judge." in shown


def test_an_exploit_only_page_that_earned_nothing_gives_no_percentage(report: ReplayReport) -> None:
    served = replace(report.policies[-1], reward=Band(0.2, 0.1, 0.3), versus_greedy=Band(0.2, 0.1, 0.3))
    shown = plain(render_report(replace(report, policies=(served,))))
    assert "it earned +0.20 rewarded items a page" in shown


def test_a_policy_far_off_is_named_where_it_is_not_drawn(report: ReplayReport, html: str) -> None:
    note = re.search(r"Too far off this scale to draw: (.*?)</span>", html)
    assert note is not None
    assert "Uniform" in note[1]
    assert "Fixed level 0.2" not in note[1]


def one_week(report: ReplayReport) -> ReplayReport:
    policies = tuple(
        replace(policy, weekly_reward=policy.weekly_reward[:1], cumulative=policy.cumulative[:1])
        for policy in report.policies
    )
    return replace(report, weeks=report.weeks[:1], policies=policies, levels=report.levels[:1])


def no_weeks(report: ReplayReport) -> ReplayReport:
    policies = tuple(replace(policy, weekly_reward=(), cumulative=()) for policy in report.policies)
    return replace(report, weeks=(), policies=policies)


def nothing_but_zeros(report: ReplayReport) -> ReplayReport:
    zero = Band(0.0, 0.0, 0.0)
    weeks = len(report.weeks)
    policies = tuple(
        replace(
            policy, reward=zero, discoveries=zero, interests=zero, versus_greedy=zero,
            weekly_reward=(zero,) * weeks, cumulative=(zero,) * weeks,
        )
        for policy in report.policies
    )  # fmt: skip
    levels = tuple(
        replace(w, p10=0.0, median=0.0, p90=0.0, mean=0.0, expected_cost=0.0) for w in report.levels
    )
    return replace(report, policies=policies, levels=levels, pages=0, users=0)


DEGENERATE: dict[str, Callable[[ReplayReport], ReplayReport]] = {
    "one week": one_week,
    "no weeks": no_weeks,
    "nothing but zeros": nothing_but_zeros,
    "one policy": lambda report: replace(report, policies=report.policies[-1:]),
    "no levels": lambda report: replace(report, levels=()),
    "no points": lambda report: replace(report, points=()),
    "no interests": lambda report: replace(report, points=(), interests=()),
    "one interest": lambda report: replace(
        report, points=(), interests=(Interest(5, "Everything", None, 0, 0, 1.0, 1.0),)
    ),
    "no beliefs": lambda report: replace(report, beliefs=()),
    "no examples": lambda report: replace(report, examples=()),
    "an empty page": lambda report: replace(report, examples=(replace(report.examples[0], items=()),)),
    "nothing cleaned": lambda report: replace(report, cleaning=CleaningReport(0, 0, 0, 0, ())),
    "rules that did nothing": lambda report: replace(
        report, cleaning=CleaningReport(0, 0, 0, 0, tuple(replace(r, rows=0) for r in report.cleaning.rules))
    ),
    "no timings": lambda report: replace(report, seconds=()),
    "many policies": lambda report: replace(
        report,
        policies=(
            *report.policies,
            *(replace(report.policies[0], policy=f"p{i}", title=f"P {i}") for i in range(30)),
        ),
    ),
    "long texts": lambda report: poisoned(report, " word" * 200),
    "one long word": lambda report: poisoned(report, "w" * 3000),
    "other scripts": lambda report: poisoned(report, " 中文商品 🍯 עברית"),
    "lone surrogates": lambda report: poisoned(report, "\ud800"),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_odd_replays_render(report: ReplayReport, name: str) -> None:
    page = parsed(render_report(DEGENERATE[name](report)))
    coordinates = [
        value for tag, _, value in page.attributes if tag in {"line", "path", "circle", "rect", "text"}
    ]
    assert not any("nan" in value or "inf" in value for value in coordinates)


def nan_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to one float of every kind in the record."""
    if isinstance(value, float):
        return [path]
    if isinstance(value, tuple):
        return [
            place for index in range(min(len(value), 2)) for place in nan_places(value[index], (*path, index))
        ]
    if is_dataclass(value):
        return [
            place
            for f in dataclasses.fields(value)
            for place in nan_places(getattr(value, f.name), (*path, f.name))
        ]
    return []


def with_value(record: Any, path: tuple[Any, ...], value: float) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return (*record[:step], with_value(record[step], rest, value), *record[step + 1 :])
    return replace(record, **{step: with_value(getattr(record, step), rest, value)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_wherever_it_stands(report: ReplayReport, bad: float) -> None:
    places = nan_places(report)
    assert len(places) > 50
    for place in places:
        with pytest.raises(InvalidInput, match=f"{place[-1]}.* must be finite"):
            render_report(with_value(report, place, bad))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"served": "nobody"}, "served must be one of"),
        ({"weeks": ("2017-10-02",)}, "a value for each of the 1 weeks"),
        ({"interests": ()}, "must lie under a top interest"),
        ({"interests": (Interest(3, "Lost", 99, 1, 1, 0.0, 0.0),)}, "every parent must be a top interest"),
        ({"epsilon": 1.5}, "epsilon must lie in"),
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(
    report: ReplayReport, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        render_report(replace(report, **change))


def test_a_policy_twice_or_a_band_upside_down_is_refused(report: ReplayReport) -> None:
    with pytest.raises(InvalidInput, match="distinct names"):
        render_report(replace(report, policies=(report.policies[-1],) * 2))
    with pytest.raises(InvalidInput, match="low <= high"):
        render_report(with_difference(report, Band(0.0, 1.0, -1.0)))


def test_a_refused_report_leaves_the_older_page(report: ReplayReport, tmp_path: Path) -> None:
    path = tmp_path / "reports" / "report.html"
    write_report(report, path)
    before = path.read_bytes()
    assert before.decode() == render_report(report)
    with pytest.raises(InvalidInput):
        write_report(replace(report, epsilon=float("nan")), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_the_same_report_gives_the_same_bytes(report: ReplayReport, html: str) -> None:
    assert render_report(make_report()) == html
