"""Charts as functions that return SVG: lines with bands, intervals, whiskers for table cells, share bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honeyguide.evaluate.report.html import NARROW, Markup, element, join
from honeyguide.evaluate.report.scale import (
    BOLD,
    Scale,
    padded,
    shorten,
    spread,
    text_width,
    tick_decimals,
    ticks,
)
from honeyguide.evaluate.report.words import coordinate, interval, number
from honeyguide.evaluate.results import Band

SIZE = 12.0
"""The type size of everything that is written in a chart, in pixels."""

Say = Callable[[float, int], str]
"""A value with so many decimals, in words: `number`, `signed`, `percent_value` and their like."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: a value with its interval for every week; `colour` is a class of the style sheet."""

    label: str
    colour: str
    bands: tuple[Band, ...]
    emphasised: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A horizontal line of reference with its name."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotting area of a chart, in pixels, and its two scales."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale


def svg(width: float, height: float, label: str, *content: str) -> Markup:
    """A drawing that says what it shows; it scales with the page."""
    return element(
        "svg",
        *content,
        role="img",
        aria_label=label,
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
    )


def line_chart(
    series: Sequence[Series],
    weeks: Sequence[str],
    *,
    label: str,
    say: Say = number,
    decimals: int = 2,
    marks: Sequence[Mark] = (),
    low: float | None = None,
    height: float = 300.0,
    width: float,
) -> Markup:
    """Lines over weeks with their bands, each named at its end; `low` pins the lower end of the axis."""
    frame = _frame(series, len(weeks), say, marks, low, height, width)
    ordered = sorted(series, key=lambda line: line.emphasised)
    return svg(
        width,
        height,
        label,
        _y_axis(frame, say),
        _week_axis(frame, weeks),
        *(_mark(frame, mark) for mark in marks),
        *(_line(frame, line, weeks, say, decimals) for line in ordered),
        _end_labels(frame, series, marks, width),
    )


def _frame(
    series: Sequence[Series],
    n_weeks: int,
    say: Say,
    marks: Sequence[Mark],
    low: float | None,
    height: float,
    width: float,
) -> Frame:
    ends = [end for line in series for band in line.bands for end in (band.low, band.mean, band.high)]
    bottom, top = padded([*ends, *(mark.value for mark in marks)])
    bottom = bottom if low is None else low
    steps = ticks(bottom, top)
    left = 14 + max(text_width(say(step, tick_decimals(steps)), SIZE) for step in steps)
    names = [*(line.label for line in series), *(mark.label for mark in marks)]
    gutter = max(text_width(name, SIZE * BOLD) for name in names) + 22
    right = width - min(gutter, width * (0.42 if width <= NARROW else 0.28))
    area = (left, 12.0, right, height - 28)
    # a single week stands at the right end, beside the names
    x = Scale(min(n_weeks - 2, 0), n_weeks - 1, left + 8, right - 4)
    return Frame(*area, x, Scale(bottom, top, area[3], area[1]))


def _y_axis(frame: Frame, say: Say) -> Markup:
    steps = ticks(frame.y.low, frame.y.high)
    decimals = tick_decimals(steps)
    parts: list[Markup] = []
    for step in steps:
        y = frame.y(step)
        parts.append(element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="grid"))
        parts.append(
            element("text", say(step, decimals), x=frame.left - 6, y=y + 4, class_="tick", text_anchor="end")
        )
    return join(parts)


def _week_axis(frame: Frame, weeks: Sequence[str]) -> Markup:
    room = frame.right - frame.left
    widest = max(text_width(shorten(week, SIZE, 90), SIZE) for week in weeks) + 14
    every = -(-len(weeks) // max(int(room // widest), 1))
    parts: list[Markup] = []
    for i in range(0, len(weeks), every):
        half = text_width(shorten(weeks[i], SIZE, 90), SIZE) / 2
        x = min(max(frame.x(i), half), frame.right + 30)
        parts.append(
            element("line", x1=frame.x(i), x2=frame.x(i), y1=frame.bottom, y2=frame.bottom + 4, class_="axis")
        )
        parts.append(
            element(
                "text",
                shorten(weeks[i], SIZE, 90),
                x=x,
                y=frame.bottom + 19,
                class_="tick",
                text_anchor="middle",
            )
        )
    parts.append(
        element("line", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom, class_="axis")
    )
    return join(parts)


def _mark(frame: Frame, mark: Mark) -> Markup:
    y = frame.y(mark.value)
    return element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="mark")


def _line(frame: Frame, line: Series, weeks: Sequence[str], say: Say, decimals: int) -> Markup:
    points = [(frame.x(i), frame.y(band.mean)) for i, band in enumerate(line.bands)]
    upper = [(frame.x(i), frame.y(band.high)) for i, band in enumerate(line.bands)]
    lower = [(frame.x(i), frame.y(band.low)) for i, band in enumerate(line.bands)]
    band = element("path", d=path(upper + lower[::-1]) + "Z", class_="band")
    dots = [
        element(
            "circle",
            element(
                "title",
                f"{line.label} \u00b7 {week}: {say(value.mean, decimals)} ({_ends(value, say, decimals)})",
            ),
            cx=x,
            cy=y,
            r=3.0 if line.emphasised else 1.8,
            class_="dot",
        )
        for (x, y), week, value in zip(points, weeks, line.bands, strict=True)
    ]
    whisker = element("path", d=path([upper[0], lower[0]]), class_="line") if len(points) == 1 else ""
    klass = f"series {line.colour}" + (" emphasised" if line.emphasised else "")
    return element(
        "g",
        element("title", line.label),
        band,
        whisker,
        element("path", d=path(points), class_="line"),
        *dots,
        class_=klass,
    )


def _ends(band: Band, say: Say, decimals: int) -> str:
    return f"{say(band.low, decimals)} to {say(band.high, decimals)}"


@dataclass(frozen=True, slots=True)
class _End:
    """A name at the right edge: where its line ends, and the class it is drawn in."""

    name: str
    x: float
    y: float
    colour: str


def _end_labels(frame: Frame, series: Sequence[Series], marks: Sequence[Mark], width: float) -> Markup:
    """Each line's name beside its end, moved apart where ends are close, with a leader back to the line."""
    ends = [_End(mark.label, frame.right - 2, frame.y(mark.value), "reference") for mark in marks]
    for line in series:
        colour = f"{line.colour} emphasised" if line.emphasised else line.colour
        ends.append(_End(line.label, frame.x(len(line.bands) - 1), frame.y(line.bands[-1].mean), colour))
    places = spread([end.y for end in ends], SIZE + 4, frame.top, frame.bottom)
    return join(_end_label(end, y, frame.right, width) for end, y in zip(ends, places, strict=True))


def _end_label(end: _End, y: float, right: float, width: float) -> Markup:
    wide = BOLD if "emphasised" in end.colour else 1.0
    return element(
        "g",
        element("title", end.name),
        element("path", d=path([(end.x + 4, end.y), (right + 8, y), (right + 14, y)]), class_="leader"),
        element(
            "text", shorten(end.name, SIZE * wide, width - right - 18), x=right + 18, y=y + 4, class_="name"
        ),
        class_=end.colour,
    )


def path(points: Sequence[tuple[float, float]]) -> str:
    """A polyline as path data."""
    return "M" + "L".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)


@dataclass(frozen=True, slots=True)
class Shift:
    """A row of the interval chart: a belief before and after, and a remark at its end."""

    label: str
    before: Band
    after: Band
    remark: str


def shift_chart(rows: Sequence[Shift], *, label: str, remark_title: str, width: float) -> Markup:
    """One row per interest: the interval before, muted, above the interval after, in the accent colour."""
    step, top = 30.0, 26.0
    bottom = top + step * len(rows)
    names = min(max(text_width(row.label, SIZE) for row in rows) + 14, width * 0.38)
    remarks = max(text_width(text, SIZE) for text in (remark_title, *(row.remark for row in rows))) + 10
    values = [end for row in rows for band in (row.before, row.after) for end in (band.low, band.high)]
    low, high = padded([*values, 0.0], 0.03)
    x = Scale(low, high, names, width - remarks - 8)
    return svg(
        width,
        bottom + 30,
        label,
        element("text", remark_title, x=width, y=14, class_="tick", text_anchor="end"),
        _x_axis(x, top, bottom, most=4 if width <= NARROW else 8),
        *(_shift(row, x, top + step * (i + 0.5), names, width) for i, row in enumerate(rows)),
    )


def _x_axis(x: Scale, top: float, bottom: float, *, most: int) -> Markup:
    steps = ticks(x.low, x.high, most)
    decimals = tick_decimals(steps)
    parts: list[Markup] = []
    for step in steps:
        klass = "mark" if abs(step) < 1e-12 else "grid"
        parts.append(element("line", x1=x(step), x2=x(step), y1=top, y2=bottom, class_=klass))
        parts.append(
            element(
                "text", number(step, decimals), x=x(step), y=bottom + 18, class_="tick", text_anchor="middle"
            )
        )
    return join(parts)


def _shift(row: Shift, x: Scale, y: float, names: float, width: float) -> Markup:
    said = f"{row.label} \u00b7 before {_said(row.before)}, after {_said(row.after)}"
    return element(
        "g",
        element("title", said),
        element("rect", x=0.0, y=y - 14, width=width, height=28.0, class_="hit"),
        element("text", shorten(row.label, SIZE, names - 12), x=0.0, y=y + 4, class_="name"),
        whisker(row.before, x, y - 5, colour="muted"),
        whisker(row.after, x, y + 5, colour="served"),
        element("text", row.remark, x=width, y=y + 4, class_="tick", text_anchor="end"),
    )


def _said(band: Band) -> str:
    return f"{number(band.mean, 2)} ({interval(band, 2)})"


def whisker(band: Band, x: Scale, y: float, *, colour: str) -> Markup:
    """A dot for the mean on a bar for the interval."""
    return element(
        "g",
        element("line", x1=x(band.low), x2=x(band.high), y1=y, y2=y, class_="whisker"),
        element("circle", cx=x(band.mean), cy=y, r=4.0, class_="dot"),
        class_=colour,
    )


def whisker_cell(band: Band, domain: tuple[float, float], *, colour: str, zero: bool = False) -> Markup:
    """A dot and whisker that fits a table cell; the number beside it says the same, so it is only decoration."""
    x = Scale(*domain, 6.0, 134.0)
    rule = element("line", x1=x(0), x2=x(0), y1=0.0, y2=18.0, class_="mark") if zero else ""
    return _cell_svg(140, 18, rule, whisker(band, x, 9, colour=colour))


def share_bar(share: float, most: float) -> Markup:
    """A bar whose full width stands for `most`."""
    wide = 0.0 if most <= 0 else max(120 * share / most, 1.0 if share > 0 else 0.0)
    return _cell_svg(
        120,
        12,
        element("rect", x=0.0, y=0.0, width=120.0, height=12.0, rx=3.0, class_="track"),
        element("rect", x=0.0, y=0.0, width=wide, height=12.0, rx=min(3.0, wide / 2), class_="bar"),
    )


def _cell_svg(width: int, height: int, *content: str) -> Markup:
    return element(
        "svg",
        *content,
        class_="cell",
        aria_hidden="true",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
    )
