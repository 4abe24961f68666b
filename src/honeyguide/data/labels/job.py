"""What all labelled data sets of one data folder share: tables, settings, the split, and who writes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from honeyguide.config import Labels
from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import EVENTS, TOUCHES
from honeyguide.data.database import stored_table
from honeyguide.data.labels.item_classes import Level, item_classes
from honeyguide.data.labels.parts import Moments
from honeyguide.data.labels.rewards import RATING, StarScale
from honeyguide.data.labels.summary import catalog_of, tables_of
from honeyguide.data.labels.writer import Writer
from honeyguide.data.split import moments_between
from honeyguide.data.table import EventTable, load_events


@dataclass(slots=True, eq=False)
class Job:
    """A data folder that is being labelled; `home` is where its cleaned tables lie.

    `table` and `scale` are None where there are no events, or no ratings among them. `moments` are those of the log,
    without one of the touches; `campaign_moments` the same, but known until the last touch; None where nothing has a
    time. `notes` says what was left out. Of a log the database has `people` and `items`, the ids by row, and `named`,
    the events in the order of the table.
    """

    folder: Path
    home: Path
    settings: Labels
    seed: int
    writer: Writer
    catalog: Catalog
    levels: tuple[Level, ...]
    table: EventTable | None = None
    moments: Moments | None = None
    campaign_moments: Moments | None = None
    scale: StarScale | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, settings: Labels, seed: int, writer: Writer) -> Self:
        """Load what is labelled."""
        home = tables_of(folder)
        catalog = catalog_of(home)
        levels = item_classes(catalog.categories, least=settings.smallest_class)
        job = cls(folder, home, settings, seed, writer, catalog, levels)
        if job.events.is_file():
            job._load_log()
        if job.touches.is_file():
            job._look_at_touches()
        return job

    @property
    def events(self) -> Path:
        """The stored events."""
        return self.home / "events.parquet"

    @property
    def touches(self) -> Path:
        """What campaigns did."""
        return self.folder / "touches.parquet"

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of training, validation and test, where chance splits."""
        held_out = self.settings.validation, self.settings.test
        return 1 - sum(held_out), *held_out

    def rng(self, *stream: int) -> np.random.Generator:
        """A stream of its own for each use: what is drawn for one label moves no other."""
        return np.random.default_rng([self.seed, *stream])

    def _load_log(self) -> None:
        table = load_events(self.events, self.catalog)
        db = self.writer.db
        db.execute(f"""
            CREATE TABLE named AS SELECT event_id, user_id, item_id, time, kind, value
            FROM ({stored_table(db, self.events, EVENTS)}) ORDER BY time, event_id""")
        self.writer.strings("people", table.users)
        self.writer.strings("items", self.catalog.ids)
        self.table = table
        if not len(table):
            return
        first_us, last_us = int(table.time_us[0]), int(table.time_us[-1])
        self.moments = self._moments(first_us, last_us)
        if first_us == last_us:
            self.notes.append(
                "all events have one and the same time, so a split in time puts them all into test: the column "
                "leave_one_out of the interactions has another split"
            )
        self.scale = _scale_of(table, self.moments)

    def _look_at_touches(self) -> None:
        db = self.writer.db
        touches = stored_table(db, self.touches, TOUCHES)
        times = f"SELECT min(epoch_us(time)), max(epoch_us(time)) FROM ({touches})"
        ((first_us, last_us),) = db.execute(times).fetchall()
        if first_us is None:
            return
        moments = self.moments = self.moments or self._moments(first_us, last_us)
        self.campaign_moments = replace(moments, end_us=max(moments.end_us, last_us))

    def _moments(self, first_us: int, last_us: int) -> Moments:
        shares = {"validation": self.settings.validation, "test": self.settings.test}
        return Moments(*moments_between(first_us, last_us, **shares), last_us)


def _scale_of(table: EventTable, moments: Moments) -> StarScale | None:
    """The scale that the ratings of the first part that has any fit on: later ones must not move earlier labels."""
    rated = (table.kind == RATING) & ~np.isnan(table.value)
    if not rated.any():
        return None
    part = moments.part(table.time_us[rated])
    return StarScale.of(table.value[rated][part == part[0]])
