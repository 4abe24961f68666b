"""Tasks out of reviews: what they feel, and how many stars they give."""

from __future__ import annotations

import numpy as np

from honeyguide.data.labels.item_classes import LEAST
from honeyguide.data.labels.sentiment import SENTIMENTS, Sentiments, sentiments
from honeyguide.plm.heads.labels import Classification, Labelled, Regression
from honeyguide.plm.teach.examples import Tables, TaskExamples, enough, in_three, lacking


def sentiment(tables: Tables) -> TaskExamples[Labelled]:
    """Negative, neutral or positive; one that too few reviews feel is left out."""
    found = _reviews(tables, "sentiment")
    often = found.counts >= LEAST
    names = tuple(name for name, kept in zip(SENTIMENTS, often, strict=True) if kept)
    if len(names) < 2:
        lacking(
            "sentiment",
            f"of negative, neutral and positive only {names or 'none'} has {LEAST} reviews or more",
        )
    kept = np.flatnonzero(often[found.label])
    enough("sentiment", len(kept), "distinct reviews with stars")
    label = (np.cumsum(often) - 1)[found.label[kept]].astype(np.int64)
    every = Labelled(tuple(found.texts[row] for row in kept), label)
    train, validation, test = in_three("sentiment", label, np.arange(len(kept)), tables.rng())
    return TaskExamples(
        name="sentiment",
        kind=Classification.kind,
        labels=names,
        train=every.take(train),
        validation=every.take(validation),
        test=every.take(test),
        purpose="tells whether a review is " + " or ".join(names),
        told=_told(found),
    )


def stars(tables: Tables) -> TaskExamples[Labelled]:
    """How many stars a review gives; no text is here twice, nor one that has felt different things."""
    found = _reviews(tables, "stars")
    if not np.ptp(found.stars) > 0:
        lacking("stars", f"all reviews give {found.stars[0]:g} stars")
    every = Labelled(found.texts, found.stars[:, None])
    train, validation, test = in_three("stars", found.label, np.arange(len(found.texts)), tables.rng())
    if not np.ptp(found.stars[train]) > 0:
        lacking("stars", f"nearly all reviews give {found.stars[train[0]]:g} stars")
    return TaskExamples(
        name="stars",
        kind=Regression.kind,
        labels=("stars",),
        train=every.take(train),
        validation=every.take(validation),
        test=every.take(test),
        purpose="tells how many stars a review gives",
        told=_told(found),
    )


def _reviews(tables: Tables, task: str) -> Sentiments:
    if not tables.events.is_file():
        lacking(task, "there are no events, and so no reviews")
    found = sentiments(tables.events)
    enough(task, len(found.texts), "distinct reviews with stars")
    return found


def _told(found: Sentiments) -> tuple[str, ...]:
    said = [f"{len(found.texts):,} distinct reviews of the shop with their stars"]
    if found.contradictory:
        said.append(f"{found.contradictory:,} reviews are left out: their text has got different stars")
    return tuple(said)
