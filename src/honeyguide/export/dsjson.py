"""Vowpal Wabbit's decision-service JSON: one contextual-bandit line per shown slot.

A slot is a decision of its own: the policy chose among the candidates that were not yet on the page, and the logged
propensity is the probability of that choice. So every slot becomes one line with the candidates that were left, the
logged propensity as `_label_probability`, and the slot's own reward; `--cb_explore_adf --dsjson` learns from it with
exact weights. (VW's slate form, CCB, has one line per page, but rebuilds a slot's probabilities from its own rules.)

`p` sums to 1 over the candidates that were left, the shown one first. In the first line it is the logged pmf. Below
it only the shown item's probability was logged, and stands there exactly; the rest of the mass lies on the others in
proportion to the first slot's pmf: exact for a policy with fixed odds, near for one that thinks again at every slot.
VW learns from `_label_probability` alone. What the shop pinned was no choice: it has no line, and is no candidate.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from honeyguide.export.exporter import ExportReport, FileCount, Needs, Source, left_out
from honeyguide.export.log import Page
from honeyguide.types import Decision, Floats, Progress, Rows


class _Item(msgspec.Struct):
    id: str


class _Action(msgspec.Struct):
    tag: str = msgspec.field(name="_tag")
    item: _Item
    f: msgspec.Raw
    """The features, as an array: their position is their name."""


class _Context(msgspec.Struct):
    user: str
    surface: str
    slot: str
    multi: list[msgspec.Raw] = msgspec.field(name="_multi")


class _State(msgspec.Struct):
    m: str


class _Line(msgspec.Struct):
    cost: float = msgspec.field(name="_label_cost")
    probability: float = msgspec.field(name="_label_probability")
    action: int = msgspec.field(name="_label_Action")
    index: int = msgspec.field(name="_labelIndex")
    timestamp: str = msgspec.field(name="Timestamp")
    version: str = msgspec.field(name="Version")
    event_id: str = msgspec.field(name="EventId")
    actions: list[int] = msgspec.field(name="a")
    context: _Context = msgspec.field(name="c")
    p: list[float]
    state: _State = msgspec.field(name="VWState")


class Dsjson:
    """Settled pages only: `_label_cost` is minus the slot's final reward."""

    name = "dsjson"
    needs: Needs = "decisions"
    folder = False

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """Line by line, in the order of the journal."""
        rows = 0
        with target.open("wb") as file:
            for page in source.log.settled(progress):
                for line in _lines(page):
                    file.write(msgspec.json.encode(line) + b"\n")
                    rows += 1
        notes = (
            "`p` below the first slot of a page is exact for the shown item only; VW learns from that alone",
            *source.log.notes,
        )
        count = FileCount(target.name, rows)
        return ExportReport(self.name, target, (count,), left_out(source.log.waiting), notes)


def slot_pmf(decision: Decision, slot: int, left: Rows) -> Floats:
    """(n,) float64 over the candidates at rows `left`: what the slot was drawn from, as far as it was logged."""
    pmf = decision.pmf[left]
    if decision.pinned[:slot].all():  # nothing was drawn above: this is what the decision holds
        return pmf
    place = int(np.searchsorted(left, decision.chosen[slot]))
    pmf[place] = 0.0
    if pmf.sum() == 0:  # nothing is known of the others
        pmf = np.ones(len(left))
        pmf[place] = 0.0
    rest = 1.0 - decision.propensities[slot]
    pmf *= rest / max(pmf.sum(), 1.0e-300)
    pmf[place] = decision.propensities[slot]
    return pmf


def _lines(page: Page) -> Iterator[_Line]:
    decision, rewards = page.decision, page.rewards.tolist()
    actions = _actions(decision)
    left = np.delete(np.arange(len(actions)), [row for _, row in decision.pins])
    for slot in np.flatnonzero(~decision.pinned).tolist():
        row = decision.chosen[slot]
        place = int(np.searchsorted(left, row))
        order = [place, *(at for at in range(len(left)) if at != place)]
        yield _Line(
            cost=0.0 - rewards[slot],
            probability=float(decision.propensities[slot]),
            action=place + 1,
            index=place,
            timestamp=f"{decision.time:%Y-%m-%dT%H:%M:%S.%f}Z",
            version="1",
            event_id=f"{decision.decision_id}#{slot}",
            actions=[at + 1 for at in order],
            context=_Context(decision.user_id, decision.surface, str(slot), [actions[at] for at in left]),
            p=slot_pmf(decision, slot, left)[order].tolist(),
            state=_State(decision.model_version),
        )
        left = np.delete(left, place)


def _actions(decision: Decision) -> list[msgspec.Raw]:
    """Every candidate as JSON, once for all slots; its id is its tag, and a feature as well."""
    texts = decision.candidates.features.astype("U").tolist()  # the shortest that gives the same float32
    return [
        msgspec.Raw(
            msgspec.json.encode(_Action(item_id, _Item(item_id), msgspec.Raw(f"[{','.join(row)}]".encode())))
        )
        for item_id, row in zip(decision.candidates.item_ids, texts, strict=True)
    ]
