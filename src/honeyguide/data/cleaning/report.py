"""What cleaning did, as frozen records: counts, reasons in words, and what convicted whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Effect = Literal["dropped", "mended", "counted"]
Subject = Literal["events", "items"]


@dataclass(frozen=True, slots=True)
class SuspectUser:
    """A user who was taken for a bot, with the numbers that say so.

    `median_gap_s` lies between views of one session and `entropy_bits` is that of all intervals on a log scale;
    both are None where there were too few to tell.
    """

    user_id: str
    events_on_busiest_day: int
    items_on_busiest_day: int
    median_gap_s: float | None
    entropy_bits: float | None


@dataclass(frozen=True, slots=True)
class ExampleEvent:
    """One event that a rule met, and what about it (`note`, "" where the rule's reason says it all)."""

    event_id: str
    time: str
    user_id: str
    kind: str
    item_id: str | None
    value: float | None
    note: str


@dataclass(frozen=True, slots=True)
class MendedText:
    """A text before and after; `subject` says whose it is."""

    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a person wants to see to believe a rule: a few of each kind, the worst first."""

    users: tuple[SuspectUser, ...] = ()
    events: tuple[ExampleEvent, ...] = ()
    texts: tuple[MendedText, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What one cleaning rule did: rows of `table` that it dropped, mended or only counted, and why in words."""

    rule: str
    rows: int
    reason: str
    table: Subject = "events"
    effect: Effect = "dropped"
    evidence: Evidence = Evidence()


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning saw and removed; each event that is gone is counted under exactly one rule that drops."""

    events_in: int
    events_out: int
    items_in: int
    items_out: int
    rules: tuple[RuleCount, ...]
