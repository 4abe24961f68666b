"""HTML as values: whatever is not `Markup` is escaped, so forgetting to escape is not possible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from honeyguide.evaluate.report.words import coordinate

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_VOID = frozenset({"meta"})

WIDE = 900.0
NARROW = 380.0
"""Every chart is drawn for a desk and for a phone, in pixels; the style sheet shows the one that fits."""


class Markup(str):
    """Text that is HTML already; everything else is taken for text."""

    __slots__ = ()


class Drawing(Protocol):
    """A chart that can be drawn for any width, in pixels."""

    def __call__(self, *, width: float) -> Markup:
        """The chart as SVG."""
        ...


def text(value: str) -> Markup:
    """`value` as HTML text; characters that no page may hold become U+FFFD."""
    return Markup(escape(_UNPRINTABLE.sub("\ufffd", value)))


def join(parts: Iterable[str], between: str = "") -> Markup:
    """The parts one after the other, each escaped unless it is Markup."""
    safe = (part if isinstance(part, Markup) else text(part) for part in parts)
    return Markup(text(between).join(safe))


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """One element; `class_` becomes class, `_` becomes `-`, None leaves an attribute out.

    >>> element("td", "a < b", class_="num", col_span=2)
    '<td class="num" col-span="2">a &lt; b</td>'
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{pairs}>")
    return Markup(f"<{name}{pairs}>{join(children)}</{name}>")


def _attribute(value: str | float) -> str:
    return text(value) if isinstance(value, str) else coordinate(value)


@dataclass(frozen=True, slots=True)
class Column:
    """A table column: its heading, and whether it holds numbers or the row's own heading."""

    title: str
    numeric: bool = False
    heads_row: bool = False


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, note: str | None = None
) -> Markup:
    """A captioned table that scrolls sideways by itself where the screen is too narrow; `note` stays in view."""
    head = [element("th", column.title, scope="col", class_=_cell_class(column)) for column in columns]
    body = [
        element("tr", *(_cell(column, cell) for column, cell in zip(columns, row, strict=True)))
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    scroller = element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")
    return join([paragraph(note, class_="note small"), scroller]) if note else scroller


def _cell(column: Column, content: str) -> Markup:
    if column.heads_row:
        return element("th", content, scope="row")
    return element("td", content, class_=_cell_class(column))


def _cell_class(column: Column) -> str | None:
    return "num" if column.numeric else None


def figure(draw: Drawing, *, title: str, note: str) -> Markup:
    """A chart with its title and one line on how to read it; drawn for a desk and for a phone."""
    return element(
        "figure",
        element("figcaption", element("strong", title), " ", element("span", note, class_="note")),
        element("div", draw(width=WIDE), class_="wide"),
        element("div", draw(width=NARROW), class_="narrow"),
    )


def section(anchor: str, title: str, *content: str) -> Markup:
    """One numbered part of the page."""
    return element(
        "section",
        element("h2", title, id=anchor + "-title"),
        *content,
        id=anchor,
        aria_labelledby=anchor + "-title",
    )


def paragraph(*content: str, class_: str | None = None) -> Markup:
    """One paragraph."""
    return element("p", *content, class_=class_)


def nothing(what: str) -> Markup:
    """What stands where there is nothing to show."""
    return paragraph(what, class_="nothing")
