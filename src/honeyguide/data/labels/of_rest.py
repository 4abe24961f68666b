"""The labelled data sets that are made of anything but the log: items, reviews, campaigns and messages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.database import identifier
from honeyguide.data.labels import summary
from honeyguide.data.labels.ads import NO_TIME, AdResponses, ad_responses
from honeyguide.data.labels.intents import intents
from honeyguide.data.labels.item_classes import Level
from honeyguide.data.labels.job import Job
from honeyguide.data.labels.sentiment import SENTIMENTS, sentiments
from honeyguide.data.labels.stratify import stratified
from honeyguide.data.labels.summary import LabelCount
from honeyguide.data.labels.texts import agreeing, text_groups
from honeyguide.data.labels.visits import in_us
from honeyguide.data.labels.writer import PART, named

_ITEMS, _REVIEWS, _CAMPAIGNS, _MESSAGES = range(1, 5)
"""Streams of chance; negatives have 0."""


def label_items(job: Job) -> Iterator[LabelCount]:
    """The items with their class on each level, in one column per level."""
    yield from summary.count_items(job.levels)
    label = _deepest(job.levels, len(job.catalog))
    classed = np.flatnonzero(label >= 0)
    if not len(classed):
        return
    group = text_groups(job.catalog.texts)
    # what reads the same but is of different classes has to be on one side, and no class can say on which
    agreed = np.where(agreeing(group, label), label, -1)
    part = stratified(agreed, group, shares=job.shares, rng=job.rng(_ITEMS))
    job.writer.strings("items", job.catalog.ids)
    columns, joins = [], []
    for depth, level in enumerate(job.levels, start=1):
        name = identifier(f"level_{depth}")
        job.writer.strings(f"level_{depth}", level.names)
        columns.append(f"{name}.value AS {name}")
        joins.append(f"LEFT JOIN {name} ON {name}.row = given.{name}")
    levels = {f"level_{depth}": level.label[classed] for depth, level in enumerate(job.levels, start=1)}
    job.writer.give({"item": classed, "part": part[classed], **levels})
    job.writer.write(
        "item_classes.parquet",
        f"""SELECT items.value AS item_id, {", ".join(columns)}, {PART}
            FROM given JOIN items ON items.row = given.item {" ".join(joins)} ORDER BY given.item""",
    )


def _deepest(levels: tuple[Level, ...], items: int) -> NDArray[np.int64]:
    """(items,): the class of each item on the lowest level that has one for it, -1 for none."""
    label = np.full(items, -1, dtype=np.int64)
    before = 0
    for level in levels:
        label = np.where(level.label >= 0, level.label + before, label)
        before += len(level.names)
    return label


def label_reviews(job: Job) -> Iterator[LabelCount]:
    """Reviews with what they feel."""
    if not job.events.is_file():
        yield summary.count_reviews(None)
        return
    found = sentiments(job.events)
    yield summary.count_reviews(found)
    _say_left_out(job, found.contradictory, "reviews", "their text has got different stars")
    _say_left_out(job, found.repeated, "reviews", "they say what another one says")
    _say_left_out(job, found.starless, "reviews", "they give no stars")
    if not found.texts:
        return
    row = np.arange(len(found.texts))
    part = stratified(found.label, row, shares=job.shares, rng=job.rng(_REVIEWS))
    job.writer.strings("reviews", found.event_ids)
    job.writer.strings("texts", found.texts)
    job.writer.give({"row": row, "label": found.label, "stars": found.stars, "part": part})
    job.writer.write(
        "sentiments.parquet",
        f"""SELECT event_id, user_id, item_id, time, texts.value AS text, stars,
                   {named(SENTIMENTS, "given.label")} AS sentiment, {PART}
            FROM given JOIN reviews USING (row) JOIN texts USING (row) JOIN named ON named.event_id = reviews.value
            ORDER BY given.row""",
    )


def label_messages(job: Job) -> Iterator[LabelCount]:
    """Messages with what their writers want."""
    path = job.folder / "messages.parquet"
    if not path.is_file():
        yield summary.count_messages(None)
        return
    found = intents(path, least=job.settings.smallest_class)
    yield summary.count_messages(found)
    _say_left_out(job, found.unlabelled, "messages", "they have no intent")
    _say_left_out(job, found.contradictory, "messages", "their text has got different intents")
    _say_left_out(job, found.rare, "messages", f"fewer than {job.settings.smallest_class} have their intent")
    if not found.texts:
        return
    part = stratified(found.label, found.group, shares=job.shares, rng=job.rng(_MESSAGES))
    for name, values in (("messages", found.ids), ("texts", found.texts), ("intents", found.names)):
        job.writer.strings(name, values)
    job.writer.give({"row": np.arange(len(part)), "label": found.label, "part": part})
    job.writer.write(
        "intents.parquet",
        f"""SELECT messages.value AS message_id, texts.value AS text, intents.value AS intent, {PART}
            FROM given JOIN messages USING (row) JOIN texts USING (row) JOIN intents ON intents.row = given.label
            ORDER BY given.row""",
    )


def label_campaigns(job: Job) -> Iterator[LabelCount]:
    """Who was sent what or had it withheld, and what followed."""
    path = job.folder / "touches.parquet"
    if not path.is_file():
        yield summary.count_campaigns(None)
        return
    found = ad_responses(path, window_days=job.settings.window_days)
    _say_left_out(job, found.contradictory, "pairs of user and campaign", "it was both sent and withheld")
    _say_left_out(job, found.unassigned, "answers", "their users were not sent that campaign")
    part = _parts_of_campaigns(job, found)
    cut = int((part < 0).sum())
    _say_left_out(job, cut, "sendings", "what followed reaches into the next part, or beyond what is known")
    found, part = found.take(part >= 0), part[part >= 0]
    yield summary.count_campaigns(found)
    if not len(found):
        return
    job.writer.strings("campaigns", found.campaigns)
    job.writer.strings("targets", found.users)
    columns = ("campaign", "user", "treated", "visited", "clicked", "redeemed", "value", "propensity")
    job.writer.give(
        {name: getattr(found, name) for name in columns}
        | {"row": np.arange(len(found)), "time_us": found.time_us, "part": part}
    )
    job.writer.write(
        "ad_responses.parquet",
        f"""SELECT campaigns.value AS campaign_id, targets.value AS user_id, treated,
                   CASE WHEN time_us <> ({NO_TIME})::BIGINT THEN make_timestamptz(time_us) END AS time,
                   visited, clicked, redeemed, given.value AS value, propensity, {PART}
            FROM given JOIN campaigns ON campaigns.row = given.campaign JOIN targets ON targets.row = given.user
            ORDER BY given.row""",
    )


def _parts_of_campaigns(job: Job, found: AdResponses) -> NDArray[np.int8]:
    """(n,): in time where there is one, at the log's moments; by chance, users as a whole, where there is none."""
    part = np.zeros(len(found), dtype=np.int8)
    timed = found.time_us != NO_TIME
    if moments := job.campaign_moments:
        time_us = found.time_us[timed]
        part[timed] = moments.part_of_span(time_us, time_us + in_us(job.settings.window_days))
    user = found.user[~timed]
    redeemed = np.zeros(len(found.users), dtype=np.int64)
    np.maximum.at(redeemed, user, found.redeemed[~timed])
    part[~timed] = stratified(redeemed[user], user, shares=job.shares, rng=job.rng(_CAMPAIGNS))
    return part


def _say_left_out(job: Job, rows: int, what: str, why: str) -> None:
    if rows:
        job.notes.append(f"{rows:,} {what} are left out: {why}")
