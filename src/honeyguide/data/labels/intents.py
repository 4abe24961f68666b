"""What customers ask for: messages with the intent that somebody has given them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.columns import MESSAGES
from honeyguide.data.database import database, number
from honeyguide.data.labels.stored import stored
from honeyguide.data.labels.texts import agreeing, text_groups
from honeyguide.errors import InvalidInput

LEAST = 10
"""Examples of an intent: with fewer a tenth of them that is held out is often nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Intents:
    """n messages by their ids. `names` are the intents, sorted; `label` (n,) int32 rows into them.

    `group` (n,) int64 is the same for texts that differ only in case, punctuation and white space: a split has to
    keep them together, as `stratified(found.label, found.group, rng=rng)` does. Left out were messages whose text
    came with different intents (`contradictory`), those of an intent with too few (`rare`), and those without an
    intent (`unlabelled`).
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    label: NDArray[np.int32]
    group: NDArray[np.int64]
    contradictory: int
    rare: int
    unlabelled: int

    @property
    def counts(self) -> NDArray[np.int64]:
        """(intents,): the messages of each intent."""
        return np.bincount(self.label, minlength=len(self.names)).astype(np.int64)


def intents(path: Path, *, least: int = LEAST) -> Intents:
    """The labelled messages of a messages.parquet; an intent needs `least` of them that no other one contradicts."""
    if least < 1:
        raise InvalidInput(f"least must be at least 1, got {least}")
    with database() as db:
        db.execute(f"CREATE VIEW messages AS {stored(db, path, MESSAGES)}")
        unlabelled = number(db, "SELECT count(*) FROM messages WHERE intent IS NULL")
        rows = db.execute("""
            SELECT message_id, text, intent FROM messages WHERE intent IS NOT NULL AND text IS NOT NULL
            ORDER BY message_id""").fetchall()
    texts = [text for _, text, _ in rows]
    names, label = np.unique(np.array([intent for _, _, intent in rows], dtype=object), return_inverse=True)
    group = text_groups(texts)
    agreed = agreeing(group, label)
    often = np.bincount(label[agreed], minlength=len(names)) >= least
    kept = np.flatnonzero(agreed & often[label])
    row_of = np.cumsum(often) - 1
    return Intents(
        names=tuple(name for name, enough in zip(names.tolist(), often, strict=True) if enough),
        ids=tuple(rows[row][0] for row in kept),
        texts=tuple(texts[row] for row in kept),
        label=row_of[label[kept]].astype(np.int32),
        group=group[kept],
        contradictory=int((~agreed).sum()),
        rare=int((agreed & ~often[label]).sum()),
        unlabelled=unlabelled,
    )
