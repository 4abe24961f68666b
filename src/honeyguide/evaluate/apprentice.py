"""Would the learned policy do as well as the shop's own ranking? Told from the pages that the shop ranked.

Such a page was not drawn: what is not on it had no chance to be there, and no weighing of pages can tell what it
would have earned. What can be told is how far the learned policy's own page, the one that exploits, is the shop's;
what was earned by the items that are on both, which is the least it would have earned as long as an item earns the
same in other company; and what the model expects of the rest. The model's word is held to what came of the items that
it would have shown and the shop did show, for choosing the best makes promises too good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

from honeyguide.types import Decision, Floats

STAGES = 8
"""So many stretches of time, with about as many pages each, are told apart."""
_LEAST = 50  # pages of a stretch at the least


@dataclass(frozen=True, slots=True)
class Stretch:
    """Pages that the shop ranked, by the mean of each: how alike the learned page was, and what either earns.

    `top` is how often both have the same item in the first slot, `overlap` how much of the shop's page is on the
    learned one. `earned` is what the shop's page earned, `on_both` what of it by items of both pages. `expected` is
    what the learned page is expected to earn: `on_both`, and the model's word for the rest, calibrated on the pages
    up to here; None while nothing is known to calibrate it by. `promised` is the model's bare word for it, and
    `promised_shop` the same for the shop's page.
    """

    first_day: str
    last_day: str
    pages: int
    users: int
    top: float
    overlap: float
    earned: float
    on_both: float
    expected: float | None
    promised: float
    promised_shop: float


@dataclass(frozen=True, slots=True)
class ApprenticeReport:
    """All pages that the shop ranked, and the same in stretches of time.

    `matched_since` is the first day from which on the learned page is expected to earn what the shop's page did, in
    every stretch; None where it is not in the last one.
    """

    whole: Stretch | None
    stretches: tuple[Stretch, ...]
    matched_since: str | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one page says."""

    time: datetime
    user_id: str
    figures: Floats
    """(7,): top, overlap, earned, on both, promised, promised of what is on both, promised of the shop's page."""


def compare(pages: Iterable[tuple[Decision, Floats]]) -> ApprenticeReport:
    """What pages that the shop ranked, with the final (k,) rewards of their slots, say of the learned policy."""
    seen = sorted((_seen(*page) for page in pages), key=lambda one: (one.time, one.user_id))
    if not seen:
        return ApprenticeReport(None, (), None)
    count = min(max(len(seen) // _LEAST, 1), STAGES)
    edges = np.linspace(0, len(seen), count + 1).round().astype(int).tolist()
    stretches = tuple(_stretch(seen[start:stop], seen[:stop]) for start, stop in pairwise(edges))
    return ApprenticeReport(_stretch(seen, seen), stretches, _matched_since(stretches))


def _seen(decision: Decision, rewards: Floats) -> _Seen:
    scores = decision.plan.scores
    own = np.argsort(-scores, kind="stable")[: len(decision.chosen)]
    both = np.isin(decision.chosen, own)
    shown = scores[decision.chosen]
    figures = [
        own[0] == decision.chosen[0],
        both.mean(),
        rewards.sum(),
        rewards[both].sum(),
        scores[own].sum(),
        shown[both].sum(),
        shown.sum(),
    ]
    return _Seen(decision.time, decision.user_id, np.array(figures, dtype=np.float64))


def _stretch(part: Sequence[_Seen], so_far: Sequence[_Seen]) -> Stretch:
    top, overlap, earned, on_both, promised, promised_both, promised_shop = _mean(part)
    _, _, _, known, _, word, _ = _mean(so_far)
    expected = on_both + known / word * (promised - promised_both) if word > 0 else None
    return Stretch(
        first_day=f"{part[0].time:%Y-%m-%d}",
        last_day=f"{part[-1].time:%Y-%m-%d}",
        pages=len(part),
        users=len({one.user_id for one in part}),
        top=top,
        overlap=overlap,
        earned=earned,
        on_both=on_both,
        expected=expected,
        promised=promised,
        promised_shop=promised_shop,
    )


def _mean(part: Sequence[_Seen]) -> list[float]:
    found: list[float] = np.mean([one.figures for one in part], axis=0).tolist()
    return found


def _matched_since(stretches: Sequence[Stretch]) -> str | None:
    since = None
    for one in stretches[::-1]:
        if one.expected is None or one.expected < one.earned:
            break
        since = one.first_day
    return since
