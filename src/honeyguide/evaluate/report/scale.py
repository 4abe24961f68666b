"""The arithmetic of drawing: scales, round ticks, text that fits, labels that do not touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width


@dataclass(frozen=True, slots=True)
class Scale:
    """Data from `low..high` to pixels `start..stop`; a domain of one point maps to the middle."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        span = self.high - self.low
        share = 0.5 if span <= 0 else (value - self.low) / span
        return self.start + share * (self.stop - self.start)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def pushed_into(self, bounds: Box) -> Box:
        """The box moved as little as brings it inside `bounds`."""
        dx = max(bounds.left - self.left, 0) - max(self.right - bounds.right, 0)
        dy = max(bounds.top - self.top, 0) - max(self.bottom - bounds.bottom, 0)
        return Box(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that cuts `span` into at most `most` parts."""
    if span <= 0:
        return 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values inside `low..high`, at most about `most` of them."""
    step = round_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_decimals(values: Sequence[float]) -> int:
    """How many decimals tell the ticks apart and show them exactly."""
    for decimals in range(6):
        if all(math.isclose(value, round(value, decimals), abs_tol=1e-9) for value in values):
            return decimals
    return 6


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """The range of the values with some air; a single value gets air of its own size."""
    low, high = min(values), max(values)
    air = (high - low) * share or abs(high) * 0.1 or 1.0
    return low - air, high + air


BOLD = 1.12
"""How much wider a bold face runs."""


def text_width(content: str, size: float) -> float:
    """How wide a text runs at most in the wider sans-serif faces, at `size` pixels."""
    return size * sum(_advance(letter) for letter in content)


def _advance(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return 1.0
    if letter in "iljtfrI.,:;|!'()[] ":
        return 0.38
    return 0.78 if letter.isupper() or letter in "mw%@&+" else 0.61


def shorten(content: str, size: float, room: float) -> str:
    """The text, cut with an ellipsis where it would run past `room` pixels."""
    if text_width(content, size) <= room:
        return content
    used, end = size, 0  # the ellipsis takes about the size of the type
    while end < len(content) and (end == 0 or used + size * _advance(content[end]) <= room):
        used += size * _advance(content[end])
        end += 1
    return content[:end].rstrip() + "\u2026"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least `gap` apart and within `low..high`.

    Where there is no room for all of them the gap shrinks, evenly.
    """
    if len(wanted) > 1:
        gap = min(gap, (high - low) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[list[float]] = []  # [sum of (wanted - rank * gap), members]: pool neighbours that collide
    for rank, index in enumerate(order):
        groups.append([wanted[index] - rank * gap, 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] >= groups[-1][0] / groups[-1][1]:
            total, members = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += members
    bases = [total / members for total, members in groups for _ in range(int(members))]
    placed = [0.0] * len(wanted)
    ceiling = high - gap * (len(wanted) - 1)
    for rank, (index, base) in enumerate(zip(order, bases, strict=True)):
        placed[index] = min(max(base, low), ceiling) + rank * gap
    return placed
