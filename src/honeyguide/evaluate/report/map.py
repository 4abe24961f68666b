"""The interest map: every item a dot in its interest's colour, and names that do not cover one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honeyguide.evaluate.report.charts import svg
from honeyguide.evaluate.report.html import NARROW, Markup, element, join
from honeyguide.evaluate.report.scale import BOLD, Box, Scale, padded, shorten, text_width
from honeyguide.evaluate.report.words import coordinate, count
from honeyguide.evaluate.results import Interest, MapPoint

COLOURS = 14
"""How many colours the style sheet holds for interests, m0 to m13; a fifteenth interest starts again."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name on the map: its anchor in pixels, its type size, and the class it is drawn in."""

    content: str
    x: float
    y: float
    size: float
    colour: str

    @property
    def width(self) -> float:
        """How wide the name runs; top interests are set in bold."""
        return text_width(self.content, self.size) * (BOLD if self.colour.startswith("top") else 1.0)

    def box(self, dx: float, dy: float) -> Box:
        """The rectangle that the name covers when its middle is moved by (dx, dy)."""
        half = self.width / 2 + 2
        middle = self.y + dy
        return Box(
            self.x + dx - half, middle - self.size * 0.62, self.x + dx + half, middle + self.size * 0.62
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """A label with the place that was found for it."""

    label: Label
    box: Box


def interest_map(
    interests: Sequence[Interest], points: Sequence[MapPoint], *, label: str, width: float
) -> Markup:
    """Items as dots, leaf interests as rings sized by their items, top interests by name."""
    small = width <= NARROW
    height = width * (1.05 if small else 0.64)
    x, y = _scales(interests, points, width, height)
    colours = colours_of(interests)
    leaves = [interest for interest in interests if interest.parent is not None]
    most = max((leaf.n_items for leaf in leaves), default=1)
    rings = [
        _ring(
            leaf,
            x,
            y,
            colours[leaf.node],
            radius=(8 if small else 15) * math.sqrt(leaf.n_items / max(most, 1)),
        )
        for leaf in leaves
    ]
    names = place(
        _top_labels(interests, x, y, colours, small),
        _leaf_labels(leaves, x, y, colours, small),
        width,
        height,
    )
    return svg(
        width,
        height,
        label,
        *_clouds(interests, points, x, y, colours),
        *rings,
        *(_draw(name) for name in names),
    )


def colours_of(interests: Sequence[Interest]) -> dict[int, str]:
    """The colour class of every node: that of its top interest."""
    tops = [interest.node for interest in interests if interest.parent is None]
    own = {node: f"m{i % COLOURS}" for i, node in enumerate(tops)}
    below = {leaf.node: own[leaf.parent] for leaf in interests if leaf.parent is not None}
    return own | below


def _scales(
    interests: Sequence[Interest], points: Sequence[MapPoint], width: float, height: float
) -> tuple[Scale, Scale]:
    xs = [node.x for node in interests] + [point.x for point in points]
    ys = [node.y for node in interests] + [point.y for point in points]
    return Scale(*padded(xs, 0.04), 0, width), Scale(*padded(ys, 0.04), height, 0)


def _clouds(
    interests: Sequence[Interest], points: Sequence[MapPoint], x: Scale, y: Scale, colours: dict[int, str]
) -> Iterator[Markup]:
    """One path per top interest: a dot is a line of no length with a round cap, so 2,500 of them stay small."""
    for top in interests:
        mine = [point for point in points if point.top == top.node]
        if top.parent is None and mine:
            dots = "".join(f"M{coordinate(x(point.x))},{coordinate(y(point.y))}h0" for point in mine)
            yield element("path", element("title", top.name), d=dots, class_=f"cloud {colours[top.node]}")


def _ring(leaf: Interest, x: Scale, y: Scale, colour: str, *, radius: float) -> Markup:
    said = f"{leaf.name} \u00b7 {count(leaf.n_items, 'item')}, {count(leaf.n_purchases, 'purchase')}"
    return element(
        "circle",
        element("title", said),
        cx=x(leaf.x),
        cy=y(leaf.y),
        r=max(radius, 2.5),
        class_=f"ring {colour}",
    )


def _top_labels(
    interests: Sequence[Interest], x: Scale, y: Scale, colours: dict[int, str], small: bool
) -> list[Label]:
    size = 12.0 if small else 16.0
    tops = sorted((i for i in interests if i.parent is None), key=lambda top: -top.n_items)
    return [
        Label(shorten(top.name, size, x.stop * 0.42), x(top.x), y(top.y), size, f"top {colours[top.node]}")
        for top in tops
    ]


def _leaf_labels(
    leaves: Sequence[Interest], x: Scale, y: Scale, colours: dict[int, str], small: bool
) -> list[Label]:
    """No leaf names on a phone: there is no room, and the table below has them all."""
    if small:
        return []
    return [
        Label(shorten(leaf.name, 10.5, 150), x(leaf.x), y(leaf.y), 10.5, f"leaf {colours[leaf.node]}")
        for leaf in sorted(leaves, key=lambda leaf: -leaf.n_items)
    ]


def place(tops: Sequence[Label], leaves: Sequence[Label], width: float, height: float) -> list[Placed]:
    """Every top name at the least covered place near its anchor; a leaf's name only where it touches nothing."""
    bounds = Box(2, 2, width - 2, height - 2)
    placed: list[Placed] = []
    for label in tops:
        boxes = [label.box(dx, dy) for dx, dy in _offsets(label.size, reach=9)]
        free = [box for box in boxes if box.within(bounds)] or [_pushed_in(label.box(0, 0), bounds)]
        # min() keeps the first of equals, and the offsets come nearest first
        placed.append(Placed(label, min(free, key=lambda box: _covered(box, placed))))
    for label in leaves:
        boxes = [label.box(dx, dy) for dx, dy in _offsets(label.size, reach=2)]
        free = [box for box in boxes if box.within(bounds) and _covered(box, placed) == 0]
        if free:
            placed.append(Placed(label, free[0]))
    return placed


def _offsets(size: float, *, reach: int) -> Iterator[tuple[float, float]]:
    """Where a name may go: on its anchor, then in ever wider rings around it."""
    yield 0.0, 0.0
    for ring in range(1, reach):
        for turn in range(12):
            angle = math.pi * (turn / 6 + 0.5)
            yield ring * size * 1.1 * math.cos(angle), ring * size * 0.8 * math.sin(angle)


def _covered(box: Box, placed: Sequence[Placed]) -> float:
    return sum(box.overlap(other.box) for other in placed)


def _pushed_in(box: Box, bounds: Box) -> Box:
    dx = max(bounds.left - box.left, 0) - max(box.right - bounds.right, 0)
    dy = max(bounds.top - box.top, 0) - max(box.bottom - bounds.bottom, 0)
    return Box(box.left + dx, box.top + dy, box.right + dx, box.bottom + dy)


def _draw(name: Placed) -> Markup:
    box, label = name.box, name.label
    middle = (box.left + box.right) / 2
    baseline = (box.top + box.bottom) / 2 + label.size * 0.35
    return join(
        [element("text", label.content, x=middle, y=baseline, class_=label.colour, text_anchor="middle")]
    )
