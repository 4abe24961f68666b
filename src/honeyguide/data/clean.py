"""Cleaning: each rule switchable, counted and explained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What one cleaning rule did: rows dropped (or mended), of how many, and why in words."""

    rule: str
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning saw and removed."""

    events_in: int
    events_out: int
    items_in: int
    items_out: int
    rules: tuple[RuleCount, ...]
