"""The decision log as Parquet, one row per shown slot: the form in which other evaluators can read it.

decision_id, time, user_id, surface       which request it was
slot, item_id                             from 0 at the top of the page; what was shown there
propensity                                the probability of this item here, given the slots above it
pinned                                    whether the shop had fixed it there: propensity 1, under any policy
score                                     the reward expected of it when it was chosen
level, reason                             how much was explored in this request, and why
policy, policy_version, model_version     who decided
page_size                                 the slots of the page
reward, reward_kind, reward_time          the best reaction within the window; 0 and NULL where there is none
settled                                   whether the window was over at the export: else `reward` may still rise
candidates, pmf                           what the first slot drawn was drawn from, and with which probabilities
features                                  of the shown item, as the policy saw it (`decisions-with-features` only)
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import msgspec

from honeyguide.data.database import database, literal
from honeyguide.export.exporter import ExportReport, FileCount, Needs, Source
from honeyguide.export.log import Page
from honeyguide.export.tables import PARQUET, copy
from honeyguide.journal.codec import to_us
from honeyguide.types import Progress

COLUMNS = MappingProxyType(
    {
        "decision_id": "VARCHAR",
        "time": "TIMESTAMPTZ",
        "user_id": "VARCHAR",
        "surface": "VARCHAR",
        "slot": "INTEGER",
        "item_id": "VARCHAR",
        "propensity": "DOUBLE",
        "pinned": "BOOLEAN",
        "score": "DOUBLE",
        "level": "DOUBLE",
        "reason": "VARCHAR",
        "policy": "VARCHAR",
        "policy_version": "VARCHAR",
        "model_version": "VARCHAR",
        "page_size": "INTEGER",
        "reward": "DOUBLE",
        "reward_kind": "VARCHAR",
        "reward_time": "TIMESTAMPTZ",
        "settled": "BOOLEAN",
        "candidates": "VARCHAR[]",
        "pmf": "DOUBLE[]",
        "features": "FLOAT[]",
    }
)
_OF_SLOT = {
    "slot": "INTEGER",
    "item_id": "VARCHAR",
    "propensity": "DOUBLE",
    "pinned": "BOOLEAN",
    "score": "DOUBLE",
    "reward": "DOUBLE",
    "reward_kind": "VARCHAR",
    "reward_time": "BIGINT",
    "features": "FLOAT[]",
}
_BIGGEST_LINE = (
    16 * 2**20
)  # bytes, and DuckDB sets twice that aside per core; 1,000 candidates take about 50 kB


class _Slot(msgspec.Struct):
    slot: int
    item_id: str
    propensity: float
    pinned: bool
    score: float
    reward: float
    reward_kind: str | None
    reward_time: int | None
    features: list[float] | None


class _Line(msgspec.Struct):
    decision_id: str
    time: int
    user_id: str
    surface: str
    level: float
    reason: str
    policy: str
    policy_version: str
    model_version: str
    page_size: int
    settled: bool
    candidates: tuple[str, ...]
    pmf: list[float]
    slots: list[_Slot]


class Decisions:
    """Everything that off-policy evaluation or learning elsewhere needs; all decisions, settled or not."""

    needs: Needs = "decisions"
    folder = False

    def __init__(self, *, features: bool = False) -> None:
        self.features = features
        self.name = "decisions-with-features" if features else "decisions"

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """By way of a file of JSON Lines: DuckDB makes lists out of these and streams them into Parquet."""
        spool = target.with_name("pages.jsonl")
        with spool.open("wb") as file:
            for page in source.log.pages(progress):
                self._put(page, file)
        with database(target.parent) as db:
            rows = copy(db, self._query(spool), target, PARQUET)
        spool.unlink()
        waiting, why = source.log.waiting
        notes = (f"not settled are {waiting:,} {why}",) if waiting else ()
        return ExportReport(self.name, target, (FileCount(target.name, rows),), (), notes + source.log.notes)

    def _put(self, page: Page, file: BinaryIO) -> None:
        decision = page.decision
        line = _Line(
            decision_id=decision.decision_id,
            time=to_us(decision.time),
            user_id=decision.user_id,
            surface=decision.surface,
            level=float(decision.plan.level),
            reason=decision.plan.reason,
            policy=decision.policy,
            policy_version=decision.policy_version,
            model_version=decision.model_version,
            page_size=decision.page_size,
            settled=page.settled,
            candidates=decision.candidates.item_ids,
            pmf=decision.pmf.tolist(),
            slots=self._slots(page),
        )
        file.write(msgspec.json.encode(line) + b"\n")

    def _slots(self, page: Page) -> list[_Slot]:
        decision = page.decision
        scores, propensities = decision.plan.scores[decision.chosen].tolist(), decision.propensities.tolist()
        pinned = decision.pinned.tolist()
        return [
            _Slot(
                slot=slot,
                item_id=item_id,
                propensity=propensities[slot],
                pinned=pinned[slot],
                score=scores[slot],
                reward=reaction.reward if reaction else 0.0,
                reward_kind=reaction.kind if reaction else None,
                reward_time=reaction.time_us if reaction else None,
                features=decision.features[slot].tolist() if self.features else None,
            )
            for slot, (item_id, reaction) in enumerate(zip(decision.item_ids, page.reactions, strict=True))
        ]

    def _query(self, spool: Path) -> str:
        of_page = {
            name: "BIGINT" if name == "time" else kind
            for name, kind in COLUMNS.items()
            if name not in _OF_SLOT
        }
        slot = ", ".join(f"{name} {kind}" for name, kind in _OF_SLOT.items())
        columns = {**of_page, "slots": f"STRUCT({slot})[]"}
        types = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
        lines = f"""read_json({literal(str(spool.resolve()))}, format = 'newline_delimited', columns = {{{types}}},
                              maximum_object_size = {_BIGGEST_LINE})"""
        wanted = [name for name in COLUMNS if self.features or name != "features"]
        picked = ", ".join(_picked(name) for name in wanted)
        return f"SELECT {picked} FROM (SELECT * EXCLUDE (slots), unnest(slots) AS shown FROM {lines})"


def _picked(name: str) -> str:
    value = f"shown.{name}" if name in _OF_SLOT else f'"{name}"'
    return (
        f'make_timestamptz({value}) AS "{name}"' if COLUMNS[name] == "TIMESTAMPTZ" else f'{value} AS "{name}"'
    )
