"""The reliability diagram: chances as they were given, against how often they came true."""

from __future__ import annotations

from collections.abc import Sequence

from honeyguide.evaluate.report.charts import SIZE, path, svg
from honeyguide.evaluate.report.html import Markup, element, join
from honeyguide.evaluate.report.scale import Scale, text_width, tick_decimals, ticks
from honeyguide.evaluate.report.words import percent, small_share
from honeyguide.interests.heads_quality import Reliability

_HEIGHT = 320.0
_BELOW = 46.0  # the ticks and the name of the axis


def reliability_chart(bins: Sequence[Reliability], *, label: str, width: float) -> Markup:
    """A dot for each bin of chances alike, the diagonal on which they would all be right."""
    most = min(max(max(one.given, one.came) for one in bins) * 1.08, 1.0) or 1.0
    steps = ticks(0.0, most, 5)
    decimals = max(tick_decimals(steps) - 2, 0)
    left = 14 + max(text_width(percent(step, decimals), SIZE) for step in steps)
    x = Scale(0.0, most, left, width - 24)
    y = Scale(0.0, most, _HEIGHT - _BELOW, 26.0)
    return svg(
        width,
        _HEIGHT,
        label,
        element("text", "how often it came", x=0.0, y=14.0, class_="tick"),
        _grid(x, y, steps, decimals),
        element("text", "chance given", x=x.stop, y=_HEIGHT - 6, class_="tick", text_anchor="end"),
        element("line", x1=x(0), y1=y(0), x2=x(most), y2=y(most), class_="mark"),
        _bins(bins, x, y),
    )


def _grid(x: Scale, y: Scale, steps: Sequence[float], decimals: int) -> Markup:
    parts: list[Markup] = []
    for step in steps:
        said = percent(step, decimals)
        parts += [
            element("line", x1=x.start, x2=x.stop, y1=y(step), y2=y(step), class_="grid"),
            element("text", said, x=x.start - 6, y=y(step) + 4, class_="tick", text_anchor="end"),
            element("text", said, x=x(step), y=y.start + 18, class_="tick", text_anchor="middle"),
        ]
    return join(parts)


def _bins(bins: Sequence[Reliability], x: Scale, y: Scale) -> Markup:
    dots = [
        element(
            "circle",
            element(
                "title",
                f"given {small_share(one.given)}, came {small_share(one.came)}; "
                f"{small_share(one.share)} of the candidates",
            ),
            cx=x(one.given),
            cy=y(one.came),
            r=4.0,
            class_="dot",
        )
        for one in bins
    ]
    line = element("path", d=path([(x(one.given), y(one.came)) for one in bins]), class_="line")
    return element("g", line, *dots, class_="series served")
