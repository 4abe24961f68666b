"""The interest map: every item a dot in its interest's colour, and names that do not cover one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honeyguide.evaluate.report.charts import svg
from honeyguide.evaluate.report.html import NARROW, Markup, element
from honeyguide.evaluate.report.scale import BOLD, Box, Scale, padded, shorten, text_width
from honeyguide.evaluate.report.words import coordinate, count
from honeyguide.evaluate.results import Interest, MapPoint

COLOURS = 14
"""How many colours the style sheet holds for interests, m0 to m13; a fifteenth interest starts again."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything on the map is drawn on: its size in pixels, the two scales, a colour for every node."""

    width: float
    height: float
    x: Scale
    y: Scale
    colours: dict[int, str]

    @property
    def small(self) -> bool:
        """Whether it is drawn for a phone."""
        return self.width <= NARROW


@dataclass(frozen=True, slots=True)
class Label:
    """A name on the map with its anchor and type size in pixels; a top interest's name is large and bold."""

    content: str
    x: float
    y: float
    size: float
    top: bool

    def box(self, dx: float, dy: float) -> Box:
        """The rectangle that the name covers when its middle is moved by (dx, dy)."""
        half_width = text_width(self.content, self.size) * (BOLD if self.top else 1.0) / 2 + 2
        half_height = self.size * 0.62
        x, y = self.x + dx, self.y + dy
        return Box(x - half_width, y - half_height, x + half_width, y + half_height)


@dataclass(frozen=True, slots=True)
class Placed:
    """A label with the place that was found for it."""

    label: Label
    box: Box


def interest_map(
    interests: Sequence[Interest], points: Sequence[MapPoint], *, label: str, width: float
) -> Markup:
    """Items as dots, leaf interests as rings sized by their items, top interests by name."""
    ground = make_ground(interests, points, width)
    names = place(labels(interests, ground), ground)
    return svg(
        width,
        ground.height,
        label,
        *_clouds(interests, points, ground),
        *_rings(interests, ground),
        *(_name(name) for name in names),
    )


def make_ground(interests: Sequence[Interest], points: Sequence[MapPoint], width: float) -> Ground:
    """The ground on which all of the interests and points find room."""
    height = width * (1.05 if width <= NARROW else 0.64)
    xs = [node.x for node in interests] + [point.x for point in points]
    ys = [node.y for node in interests] + [point.y for point in points]
    x, y = Scale(*padded(xs, 0.04), 0, width), Scale(*padded(ys, 0.04), height, 0)
    return Ground(width, height, x, y, _colours(interests))


def _colours(interests: Sequence[Interest]) -> dict[int, str]:
    """The colour class of every node: that of its top interest."""
    tops = [interest.node for interest in interests if interest.parent is None]
    own = {node: f"m{i % COLOURS}" for i, node in enumerate(tops)}
    return own | {leaf.node: own[leaf.parent] for leaf in interests if leaf.parent is not None}


def _clouds(interests: Sequence[Interest], points: Sequence[MapPoint], ground: Ground) -> Iterator[Markup]:
    """One path per top interest: a dot is a line of no length with a round cap, so 2,500 of them stay small."""
    for top in interests:
        mine = [point for point in points if point.top == top.node]
        if mine:
            xys = [(coordinate(ground.x(point.x)), coordinate(ground.y(point.y))) for point in mine]
            dots = "".join(f"M{x},{y}h0" for x, y in xys)
            colour = ground.colours[top.node]
            yield element("path", element("title", top.name), d=dots, class_=f"cloud {colour}")


def _rings(interests: Sequence[Interest], ground: Ground) -> Iterator[Markup]:
    leaves = [interest for interest in interests if interest.parent is not None]
    most = max((leaf.n_items for leaf in leaves), default=0)
    for leaf in leaves:
        radius = (8 if ground.small else 15) * math.sqrt(max(leaf.n_items, 0) / max(most, 1))
        said = f"{leaf.name} \u00b7 {count(leaf.n_items, 'item')}, {count(leaf.n_purchases, 'purchase')}"
        yield element(
            "circle",
            element("title", said),
            cx=ground.x(leaf.x),
            cy=ground.y(leaf.y),
            r=max(radius, 2.5),
            class_=f"ring {ground.colours[leaf.node]}",
        )


def labels(interests: Sequence[Interest], ground: Ground) -> list[Label]:
    """The names in the order of their claim to room: top interests first, then the larger before the smaller.

    A phone has no room for leaf names; the table below the map has them all.
    """
    ranked = sorted(interests, key=lambda node: (node.parent is not None, -node.n_items))
    return [_label(node, ground) for node in ranked if node.parent is None or not ground.small]


def _label(node: Interest, ground: Ground) -> Label:
    top = node.parent is None
    size = (12.0 if ground.small else 16.0) if top else 10.5
    room = ground.width * (0.4 if top else 0.18)
    return Label(shorten(node.name, size, room), ground.x(node.x), ground.y(node.y), size, top)


def place(wanted: Sequence[Label], ground: Ground) -> list[Placed]:
    """Every top name at the least covered place near its anchor; a leaf's name only where it touches nothing."""
    bounds = Box(2, 2, ground.width - 2, ground.height - 2)
    placed: list[Placed] = []
    for label in wanted:
        near = [label.box(dx, dy).pushed_into(bounds) for dx, dy in _offsets(label)]
        # min() keeps the first of equals, and the offsets come nearest first
        best = min(near, key=lambda box: _covered(box, placed))
        if label.top or _covered(best, placed) == 0:
            placed.append(Placed(label, best))
    return placed


def _offsets(label: Label) -> Iterator[tuple[float, float]]:
    """Where a name may go: on its anchor, then in ever wider rings around it; a leaf's name stays close."""
    yield 0.0, 0.0
    for ring in range(1, 9 if label.top else 2):
        for turn in range(12):
            angle = math.pi * (turn / 6 + 0.5)
            yield ring * label.size * 1.1 * math.cos(angle), ring * label.size * 0.8 * math.sin(angle)


def _covered(box: Box, placed: Sequence[Placed]) -> float:
    return sum(box.overlap(other.box) for other in placed)


def _name(name: Placed) -> Markup:
    box, label = name.box, name.label
    return element(
        "text",
        label.content,
        x=(box.left + box.right) / 2,
        y=(box.top + box.bottom) / 2 + label.size * 0.35,
        class_="top" if label.top else "leaf",
        text_anchor="middle",
    )
