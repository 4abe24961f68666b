"""The labelled data sets that are made of the log: interactions, visits, what was shown, and negatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.labels import summary
from honeyguide.data.labels.job import Job
from honeyguide.data.labels.negatives import Proposal, Sampler, item_counts, taken
from honeyguide.data.labels.next_interest import next_interests
from honeyguide.data.labels.parts import PARTS, Moments
from honeyguide.data.labels.rewards import StarScale, rewards
from honeyguide.data.labels.shown import load_shown
from honeyguide.data.labels.summary import LabelCount
from honeyguide.data.labels.visits import Outcomes, Visits, in_us, outcomes, visits
from honeyguide.data.labels.writer import PART, named
from honeyguide.data.split import one_left_out
from honeyguide.data.table import EventTable, from_us
from honeyguide.types import Floats, Grade, Rows

_DRAWS_AT_ONCE = 2**22
"""Negatives are drawn this many at a time; with another number others are drawn."""


class _Graded(TypedDict):
    grade: Grade
    scale: StarScale | None


class LogLabels:
    """The labels of one log, each written when it is asked for."""

    def __init__(self, job: Job, table: EventTable, moments: Moments) -> None:
        self.job = job
        self.table = table
        self.moments = moments
        self.days = job.settings.window_days
        self.graded: _Graded = {"grade": job.settings.grade, "scale": job.scale}
        self.reward: Floats = rewards(table, **self.graded)

    def interactions(self) -> Iterator[LabelCount]:
        """Every event about an item with what it earns."""
        left_out = one_left_out(self.table, counts=taken(self.table))
        part = self.moments.part(self.table.time_us)
        self.job.writer.give({"reward": self.reward, "part": part, "left_out": left_out})
        self.job.writer.write(
            "interactions.parquet",
            f"""SELECT event_id, user_id, item_id, time, kind, value, given.reward, {PART},
                       {named(PARTS, "given.left_out")} AS leave_one_out
                FROM named POSITIONAL JOIN given WHERE item_id IS NOT NULL""",
        )
        yield summary.count_rewards(self.table, self.reward)
        yield summary.count_held_out(self.table, left_out)

    def visits(self) -> Iterator[LabelCount]:
        """Visits, what came of each, and what interest came next."""
        seen = visits(self.table, origin_us=summary.origin_us(self.table))
        # a visit stands just before its first event, which may be the first of a part
        part = self.moments.part_of_span(seen.time_us + 1, seen.time_us + in_us(self.days))
        found, part = seen.take(part >= 0), part[part >= 0]
        self._say_cut(len(seen) - len(found), "visits")
        came = outcomes(self.table, found, window_days=self.days, **self.graded)
        self._write_visits(found, part, came)
        yield summary.count_visits(came)
        yield self._next(found, part)

    def _write_visits(self, found: Visits, part: NDArray[np.int8], came: Outcomes) -> None:
        rewarded = np.diff(came.starts)
        row = np.arange(len(found))
        writer = self.job.writer
        writer.give(
            {"row": row, "user": found.user, "time_us": found.time_us, "rewarded": rewarded, "part": part}
        )
        writer.write(
            "visits.parquet",
            f"""SELECT given.row AS visit, people.value AS user_id, make_timestamptz(time_us) AS time,
                       rewarded, {PART}
                FROM given JOIN people ON people.row = given.user ORDER BY given.row""",
        )
        writer.give(
            {
                "row": np.arange(len(came.item)),
                "visit": np.repeat(row, rewarded),
                "user": np.repeat(found.user, rewarded),
                "item": came.item,
                "reward": came.reward,
                "time_us": came.time_us,
                "discovery": came.discovery,
                "part": np.repeat(part, rewarded),
            }
        )
        writer.write(
            "outcomes.parquet",
            f"""SELECT visit, people.value AS user_id, items.value AS item_id, make_timestamptz(time_us) AS time,
                       reward, discovery, {PART}
                FROM given JOIN people ON people.row = given.user JOIN items ON items.row = given.item
                ORDER BY given.row""",
        )

    def _next(self, found: Visits, part: NDArray[np.int8]) -> LabelCount:
        """For every visit that is followed by anything of a class, that class on the lowest level."""
        if not self.job.levels:
            return summary.count_next(None)
        level, writer = self.job.levels[-1], self.job.writer
        label = next_interests(self.table, found, level.label, window_days=self.days, **self.graded)
        known = label.label >= 0
        writer.strings("classes", level.names)
        writer.give(
            {
                "visit": np.flatnonzero(known),
                "user": found.user[known],
                "time_us": found.time_us[known],
                "item": label.item[known],
                "class": label.label[known],
                "is_new": label.new[known],
                "part": part[known],
            }
        )
        writer.write(
            "next_interests.parquet",
            f"""SELECT visit, people.value AS user_id, make_timestamptz(time_us) AS time, items.value AS item_id,
                       classes.value AS class, is_new, {PART}
                FROM given JOIN people ON people.row = given.user JOIN items ON items.row = given.item
                     JOIN classes ON classes.row = given.class ORDER BY visit""",
        )
        return summary.count_next(label)

    def shown(self) -> Iterator[LabelCount]:
        """Every slot of every page with what became of it."""
        seen = load_shown(self.job.events, self.job.catalog, window_days=self.days, **self.graded)
        part = self.moments.part_of_span(seen.time_us, seen.time_us + in_us(self.days))
        found, part = seen.take(part >= 0), part[part >= 0]
        self._say_cut(len(seen) - len(found), "pages")
        page, writer = found.page, self.job.writer
        writer.strings("viewers", found.users)
        writer.give(
            {
                "row": np.arange(len(page)),
                "page": page,
                "user": found.user[page],
                "time_us": found.time_us[page],
                "item": found.item,
                "position": found.position,
                "propensity": found.propensity,
                "reward": found.reward,
                "dismissed": found.dismissed,
                "skipped": found.skipped,
                "part": part[page],
            }
        )
        writer.write(
            "shown.parquet",
            f"""SELECT page, viewers.value AS user_id, make_timestamptz(time_us) AS time, items.value AS item_id,
                       nullif(position, -1) AS position, propensity, reward, dismissed, skipped, {PART}
                FROM given JOIN viewers ON viewers.row = given.user JOIN items ON items.row = given.item
                ORDER BY given.row""",
        )
        yield summary.count_shown(found)

    def negatives(self) -> Iterator[LabelCount]:
        """Items drawn for every event that earned something, as often as they were taken in training."""
        part = self.moments.part(self.table.time_us)
        counts = item_counts(
            self.table.between(until=from_us(self.moments.validation_us)), len(self.job.catalog)
        )
        pool, positives = int((counts > 0).sum()), np.flatnonzero(self.reward > 0)
        if not self.job.settings.negatives or pool < 2 or not len(positives):
            yield summary.count_draws(0, pool)
            return
        db = self.job.writer.db
        db.execute("CREATE TABLE draws (event BIGINT, item INTEGER, log_q DOUBLE, part TINYINT)")
        sampler = Sampler.of(self.table, Proposal.of(counts, alpha=self.job.settings.alpha))
        without = sum(self._draw(sampler, positives[part[positives] == at], at) for at in range(len(PARTS)))
        if without:
            self.job.notes.append(
                f"{without:,} rewarded events have no negatives: their users know every item that is drawn"
            )
        self.job.writer.write(
            "negatives.parquet",
            f"""SELECT event_id, user_id, items.value AS item_id, time, log_q, {PART}
                FROM draws AS given JOIN named ON named.rowid = given.event JOIN items ON items.row = given.item
                ORDER BY given.rowid""",
        )
        db.execute("DROP TABLE draws")
        yield summary.count_draws(len(positives) - without, pool)

    def _draw(self, sampler: Sampler, positives: Rows, part: int) -> int:
        """Fill the table `draws` for the positives of one part; how many there was nothing to draw for."""
        k, without = self.job.settings.negatives, 0
        at_once = max(_DRAWS_AT_ONCE // k, 1)
        for begin in range(0, len(positives), at_once):
            events = positives[begin : begin + at_once]
            # numbers of its own for each part and chunk: what comes later changes nothing that was drawn before
            found = sampler.sample(events, k=k, rng=self.job.rng(0, part, begin))
            known = found.item.ravel() >= 0
            self.job.writer.give(
                {
                    "event": np.repeat(events, k)[known],
                    "item": found.item.ravel()[known],
                    "log_q": found.log_q.ravel()[known],
                    "part": np.full(int(known.sum()), part, dtype=np.int8),
                }
            )
            self.job.writer.db.execute("INSERT INTO draws FROM given")
            without += int((found.item[:, 0] < 0).sum())
        return without

    def _say_cut(self, rows: int, what: str) -> None:
        if rows:
            self.job.notes.append(
                f"{rows:,} {what} are left out: the {self.days:g} days after them reach into the next part, "
                "or beyond the end of the log; a smaller [labels] window_days keeps more"
            )
