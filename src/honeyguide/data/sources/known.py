"""All file formats that can be imported, and which one a file is in."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from honeyguide.data.sources.canonical import Canonical
from honeyguide.data.sources.completejourney import CompleteJourney
from honeyguide.data.sources.dsjson import Dsjson
from honeyguide.data.sources.ga4 import GA4
from honeyguide.data.sources.googleretail import GoogleRetail
from honeyguide.data.sources.gorse import Gorse
from honeyguide.data.sources.hillstrom import Hillstrom
from honeyguide.data.sources.jsonld import JsonLd
from honeyguide.data.sources.layout import Layout, Source
from honeyguide.data.sources.merchant import Merchant
from honeyguide.data.sources.openbandit import OpenBandit
from honeyguide.data.sources.personalize import Personalize
from honeyguide.data.sources.recbole import Recbole
from honeyguide.data.sources.segment import Segment
from honeyguide.data.sources.sequences import Sequences
from honeyguide.errors import InvalidFile, InvalidInput

SOURCES: tuple[Source, ...] = (
    Canonical(),
    CompleteJourney(),
    Personalize(),
    GA4(),
    Segment(),
    GoogleRetail(),
    Gorse(),
    Recbole(),
    Dsjson(),
    Merchant(),
    JsonLd(),
    OpenBandit(),
    Hillstrom(),
    Sequences(),
)
"""The stricter before the looser: of several that fit a file the first is taken."""


def sources_named(name: str | None) -> tuple[Source, ...]:
    """The format of that name, or all of them where no name is given."""
    if name is None:
        return SOURCES
    found = tuple(source for source in SOURCES if source.name == name)
    if not found:
        known = ", ".join(source.name for source in SOURCES)
        raise InvalidInput(f"{name!r} is not a known format: choose one of {known}")
    return found


def layout_of(path: Path, columns: Sequence[str], sources: Sequence[Source]) -> Layout:
    """The first layout that the columns fit; InvalidFile says which column is missing and what comes near."""
    layouts = [layout for source in sources for layout in source.layouts]
    for layout in layouts:
        if layout.fits(columns):
            return layout
    lacking = [layout for layout in layouts if not set(layout.required) <= set(columns)]
    shown = ", ".join(column[:40] for column in columns[:12])
    if not lacking:  # each has all that it needs, and columns that tell it from others
        raise InvalidFile(path, f"is not in the format {sources[0].name}", f"Its columns are: {shown}")
    nearest = max(lacking, key=lambda layout: _shared(layout, columns))
    if len(sources) > 1 and _shared(nearest, columns) < _ALIKE:
        nearest = lacking[0]  # a name or two in common are chance: say what our own columns are
    missing = next(column for column in nearest.required if column not in columns)
    close = get_close_matches(missing, list(columns), n=1, cutoff=0.4)
    hint = f"Its nearest column is {close[0]!r}: rename it" if close else f"Its columns are: {shown}"
    raise InvalidFile(
        path,
        f"is not a known format: read as {nearest.table} it has no column {missing!r}",
        f"{hint}. {nearest.table.capitalize()} need the columns {', '.join(nearest.required)}; "
        "--columns says which columns of a file's own they are",
    )


_ALIKE = 0.5


def _shared(layout: Layout, columns: Sequence[str]) -> float:
    """The share of what a layout requires that is there."""
    return len(set(layout.required) & set(columns)) / len(layout.required)
