"""Whether the heads can be believed, and what ranking by them finds, on visits after the fit."""

from __future__ import annotations

import numpy as np

from honeyguide.config import Settings
from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.metrics import ndcg_at_k
from honeyguide.evaluate.results import HeadResult, Ranked
from honeyguide.explore.decide import stream
from honeyguide.interests.heads_quality import head_quality
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.models import Fitted
from honeyguide.shop.past import PastPages
from honeyguide.shop.policies import make_tradeoff
from honeyguide.shop.recommend import WIDE, HeadScorer, NextScorer, PosteriorScorer, Scorer
from honeyguide.types import EventKind, Floats, Progress, silent

_PAGES = 1000  # visits that are judged on, at the most


def judge_heads(
    fitted: Fitted, settings: Settings, table: EventTable, progress: Progress = silent
) -> tuple[HeadResult, ...]:
    """How each head does on visits of the whole log `table` after the fit; none where the shop has no heads.

    Each visitor's past is known as it was by then; the models are those of the fit. InvalidInput where no visit after
    the fit has a closed reward window.
    """
    if fitted.heads is None or not fitted.heads.of:
        return ()
    judge = _Judge(fitted, settings, table)
    return tuple(judge.result(kind, progress) for kind in fitted.heads.of)


class _Judge:
    """Visits after the fit, and what ranks their candidates."""

    def __init__(self, fitted: Fitted, settings: Settings, table: EventTable) -> None:
        self.fitted = fitted
        self.settings = settings
        self.table = table
        self.model = fitted.shopper_model(settings)
        self.past = PastPages.of(table, self.model, settings)
        self.source = CandidateSource(self.model, size=WIDE * settings.explore.candidates)
        self.policy = make_tradeoff(fitted.policy_state, settings.explore, seed=settings.seed)
        pages = np.flatnonzero(self.past.visits.time_us > fitted.until_us)
        if not len(pages):
            raise InvalidInput(
                "no visit after the fit has a closed reward window: honeyguide fit --until DATE"
            )
        if len(pages) > _PAGES:
            pages = np.random.default_rng(settings.seed).choice(pages, _PAGES, replace=False)
        self.pages = np.sort(pages)

    def scorers(self, kind: EventKind, user: str) -> dict[str, Scorer]:
        """What is compared, by its name in the report."""
        scorers: dict[str, Scorer] = {
            f"Chance of a {kind}": HeadScorer(self.fitted.heads, kind, self.model),
            "Expected reward": PosteriorScorer(self.policy, self.model, user),
        }
        if self.model.sequence is not None:
            scorers["What comes next"] = NextScorer(self.model)
        return scorers

    def result(self, kind: EventKind, progress: Progress) -> HeadResult:
        """The quality of a head's chances, and what each ranking finds."""
        came_for = self.past.came_for(kind)
        chances, came = [], []
        found: dict[str, list[tuple[float | None, float | None]]] = {}
        for done, page in enumerate(self.pages.tolist()):
            user, time_us = int(self.past.visits.user[page]), int(self.past.visits.time_us[page])
            history = self.past.history(user, time_us)
            rng = stream(self.settings.seed, f"heads:{page}")
            rows = self.source.rows(history, time_us, rng)
            hits = np.isin(rows, came_for[page])
            new = ~np.isin(rows, history.rows)
            for place, (name, scorer) in enumerate(self.scorers(kind, self.table.users[user]).items()):
                scores = scorer.scores(history, rows, time_us)
                if not place:
                    chances.append(scores)
                    came.append(hits)
                both = (self._gain(scores, hits), self._gain(scores[new], hits[new]))
                found.setdefault(name, []).append(both)
            progress(done + 1, len(self.pages))
        return HeadResult(
            kind=kind,
            pages=len(self.pages),
            quality=head_quality(np.concatenate(chances), np.concatenate(came)),
            ranked=tuple(
                Ranked(name, _mean([gain for gain, _ in gains]), _mean([gain for _, gain in gains]))
                for name, gains in found.items()
            ),
        )

    def _gain(self, scores: Floats, hits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
        """NDCG of a page among its candidates; None where nothing came that could have been found."""
        if not hits.any():
            return None
        gains = hits[np.argsort(-scores, kind="stable")].astype(np.float64)[None]
        return float(ndcg_at_k(gains, gains, min(self.settings.explore.k, len(hits)))[0])


def _mean(gains: list[float | None]) -> float | None:
    there = [gain for gain in gains if gain is not None]
    return float(np.mean(there)) if there else None
