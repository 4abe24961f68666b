"""What reviewers feel, as their stars say it: texts labelled negative, neutral or positive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.columns import EVENTS
from honeyguide.data.database import database, number
from honeyguide.data.labels.rewards import StarScale
from honeyguide.data.labels.stored import stored
from honeyguide.data.labels.texts import agreeing, text_groups
from honeyguide.data.table import plain

SENTIMENTS = ("negative", "neutral", "positive")
NEGATIVE_UP_TO, NEUTRAL_UP_TO = 0.4, 0.6
"""Shares of the scale: 1-2, 3 and 4-5 of 5 stars; 1-4, 5-6 and 7-10 of 10; a thumb down or up is never neutral."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentiments:
    """n texts, no two the same, each as it was first written, in time order.

    `event_ids` are those of the reviews; `label` (n,) int8 positions in SENTIMENTS, `stars` (n,) float64, `time_us`
    (n,) int64. Left out were `repeated` reviews that say the same with the same label, `contradictory` ones whose
    text has got different labels, and `starless` ones.
    """

    event_ids: tuple[str, ...]
    texts: tuple[str, ...]
    label: NDArray[np.int8]
    stars: NDArray[np.float64]
    time_us: NDArray[np.int64]
    repeated: int
    contradictory: int
    starless: int

    @property
    def counts(self) -> NDArray[np.int64]:
        """(3,): the texts of each sentiment."""
        return np.bincount(self.label, minlength=len(SENTIMENTS)).astype(np.int64)


def sentiment_of(stars: NDArray[np.floating[Any]], scale: StarScale) -> NDArray[np.int8]:
    """(n,) int8 positions in SENTIMENTS of stars, none of which is NaN."""
    return np.searchsorted([NEGATIVE_UP_TO, NEUTRAL_UP_TO], scale.share(stars)).astype(np.int8)


def sentiments(path: Path, *, scale: StarScale | None = None) -> Sentiments:
    """The reviews in an events.parquet: ratings with words. Without a `scale` it is told from all ratings there."""
    with database() as db:
        db.execute(f"CREATE VIEW ratings AS FROM ({stored(db, path, EVENTS)}) WHERE kind = 'rating'")
        db.execute("CREATE VIEW said AS FROM ratings WHERE trim(coalesce(text, '')) <> ''")
        starless = number(db, "SELECT count(*) FROM said WHERE value IS NULL")
        given = db.execute(
            "SELECT DISTINCT value::DOUBLE AS value FROM ratings WHERE value IS NOT NULL"
        ).fetchnumpy()
        rows = db.execute("""
            SELECT event_id, text, value::DOUBLE, epoch_us(time) FROM said WHERE value IS NOT NULL
            ORDER BY time, event_id""").fetchall()
    texts = [text for _, text, _, _ in rows]
    stars = np.array([value for _, _, value, _ in rows], dtype=np.float64)
    time_us = np.array([time for _, _, _, time in rows], dtype=np.int64)
    label = sentiment_of(stars, scale or StarScale.of(plain(given["value"])))
    group = text_groups(texts)
    agreed = agreeing(group, label)
    _, first = np.unique(group, return_index=True)
    kept = first[agreed[first]]
    return Sentiments(
        event_ids=tuple(rows[row][0] for row in kept),
        texts=tuple(texts[row] for row in kept),
        label=label[kept],
        stars=stars[kept],
        time_us=time_us[kept],
        repeated=int(agreed.sum()) - len(kept),
        contradictory=int((~agreed).sum()),
        starless=starless,
    )
