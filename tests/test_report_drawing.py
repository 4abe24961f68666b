"""Scales, ticks, labels and colours: the arithmetic behind the charts."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.evaluate.report import charts
from honeyguide.evaluate.report.html import NARROW, WIDE, element, join, text
from honeyguide.evaluate.report.interest_map import labels, make_ground, place
from honeyguide.evaluate.report.scale import (
    BOLD,
    Box,
    Scale,
    padded,
    shorten,
    spread,
    text_width,
    tick_decimals,
    ticks,
)
from honeyguide.evaluate.report.words import decimals_for, number, signed, small_share
from honeyguide.evaluate.results import Band
from tests.report_fixture import make_report

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=numbers, span=st.floats(1e-3, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    slack = 1e-6 * span
    assert 2 <= len(found) <= 8
    assert low - slack <= found[0]
    assert found[-1] <= low + span + slack


def test_tick_labels_tell_the_ticks_apart() -> None:
    found = ticks(0.0123, 0.0179)
    labels = [number(tick, tick_decimals(found)) for tick in found]
    assert len(set(labels)) == len(labels)
    assert [float(label) for label in labels] == pytest.approx(found)


@given(st.lists(st.floats(-50, 350), min_size=1, max_size=20))
def test_spread_labels_keep_order_distance_and_bounds(wanted: list[float]) -> None:
    low, high, gap = 10.0, 290.0, 14.0
    placed = spread(wanted, gap, low, high)
    assert min(placed) >= low - 1e-6
    assert max(placed) <= high + 1e-6
    ordered = sorted(placed)
    room = min(gap, (high - low) / max(len(wanted) - 1, 1))
    assert all(b - a >= room - 1e-6 for a, b in pairwise(ordered))
    ranks = sorted(range(len(wanted)), key=lambda i: wanted[i])
    assert [placed[i] for i in ranks] == ordered


@given(st.lists(st.floats(20, 280), min_size=1, max_size=6, unique_by=lambda y: round(y / 16)))
def test_labels_with_room_stay_where_they_are(wanted: list[float]) -> None:
    apart = sorted(wanted)
    if all(b - a >= 14 for a, b in pairwise(apart)):
        assert spread(wanted, 14, 10, 290) == pytest.approx(wanted)


@given(st.text(max_size=60), st.floats(20, 300))
def test_shortened_text_fits(content: str, room: float) -> None:
    short = shorten(content, 12, room)
    assert text_width(short.removesuffix("\u2026"), 12) <= max(room, 12)
    assert (short == content) == (text_width(content, 12) <= room) or content.endswith("\u2026")


def test_a_domain_of_one_point_is_drawn_in_the_middle() -> None:
    assert Scale(3, 3, 0, 100)(3) == 50
    low, high = padded([0.0, 0.0])
    assert low < 0 < high


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_two_names_on_the_map_touch(width: float) -> None:
    report = make_report()
    ground = make_ground(report.interests, report.points, width)
    placed = place(labels(report.interests, ground), ground)
    assert sum(name.label.top for name in placed) == 12
    everything = Box(0, 0, ground.width, ground.height)
    for i, name in enumerate(placed):
        assert name.box == name.box.pushed_into(everything)
        assert all(name.box.overlap(other.box) == 0 for other in placed[:i])


def test_the_line_labels_of_a_chart_do_not_overlap_or_run_out() -> None:
    series = [charts.Series(f"Policy {i}", "c0", (Band(1 + i / 1e4, 0.9, 1.2),) * 5) for i in range(8)]
    drawn = charts.line_chart(series, ["a", "b", "c", "d", "e"], label="chart", width=WIDE)
    names = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="name">([^<]*)</text>', drawn)
    heights = sorted(float(y) for _, y, _ in names)
    assert len(names) == 8
    assert all(b - a >= charts.SIZE for a, b in pairwise(heights))
    assert all(float(x) + text_width(name, charts.SIZE * BOLD) <= WIDE for x, _, name in names)


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert element("b", "<i>", title='"') == '<b title="&quot;">&lt;i&gt;</b>'
    assert join([element("i", "a"), "<b>"], " & ") == "<i>a</i> &amp; &lt;b&gt;"
    assert text("a\x00\ud800b") == "a\ufffd\ufffdb"


def test_numbers_show_their_sign_and_no_needless_digits() -> None:
    assert signed(-0.0001, 2) == signed(0.0, 2) == "0.00"
    assert signed(1234.5, 1) == "+1,234.5"
    assert number(-2) == "\u22122"
    assert small_share(0.00001) == "<\u00a00.01\u00a0%"
    assert decimals_for([Band(1.0, 0.966, 1.034)]) == 3
    assert decimals_for([Band(500.0, 450.0, 550.0)]) == 0


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_told_from_the_ground(dark: bool) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for lines and dots."""
    sheet = (files("honeyguide.evaluate.report") / "report.css").read_text()
    light, _, rest = sheet.partition("@media screen and (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([a-z\d-]+): (#[\da-f]{6})", rest if dark else light))
    for ink in ("ink", "soft", "accent-ink"):
        assert contrast(colours[ink], colours["page"]) >= 4.5
        assert contrast(colours[ink], colours["card"]) >= 4.5
    for ink, wash in (("accent-ink", "accent-wash"), ("good-ink", "good-wash"), ("blue-ink", "blue-wash")):
        assert contrast(colours[ink], colours[wash]) >= 4.5
    lines = ["accent", "muted", *(f"c{i}" for i in range(7)), *(f"m{i}" for i in range(14))]
    assert [line for line in lines if contrast(colours[line], colours["card"]) < 3] == []


def contrast(one: str, other: str) -> float:
    dim, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
