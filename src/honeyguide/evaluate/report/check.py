"""The door of the report: a record with a hole or a NaN is refused before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.results import Band, ReplayReport


def check_report(report: ReplayReport) -> ReplayReport:
    """`report` itself where it can be drawn; InvalidInput names the field that cannot."""
    for path, value in _leaves("report", report):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput(f"{path} must be finite, got {value}: leave out what was not measured")
        if isinstance(value, Band) and not value.low <= value.high:
            raise InvalidInput(f"{path} must have low <= high, got {value.low} > {value.high}")
    _check_policies(report)
    _check_interests(report)
    if not 0 <= report.epsilon <= 1:
        raise InvalidInput(f"report.epsilon must lie in 0..1, got {report.epsilon}")
    return report


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value in the record with the path that leads to it, a record after what it holds."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _leaves(f"{path}.{field.name}", getattr(value, field.name))
    elif isinstance(value, tuple):
        for index, entry in enumerate(value):
            yield from _leaves(f"{path}[{index}]", entry)
    yield path, value


def _check_policies(report: ReplayReport) -> None:
    names = [policy.policy for policy in report.policies]
    if len(set(names)) != len(names):
        raise InvalidInput(f"report.policies must have distinct names, got {names}")
    if report.served not in names:
        raise InvalidInput(f"report.served must be one of {names}, got {report.served!r}")
    for policy in report.policies:
        for series in (policy.weekly_reward, policy.cumulative):
            if len(series) != len(report.weeks):
                raise InvalidInput(
                    f"{policy.policy} must have a value for each of the {len(report.weeks)} weeks, got {len(series)}"
                )


def _check_interests(report: ReplayReport) -> None:
    tops = {interest.node for interest in report.interests if interest.parent is None}
    lost = {interest.parent for interest in report.interests if interest.parent is not None} - tops
    if lost:
        raise InvalidInput(
            f"every parent must be a top interest, got {sorted(lost)}: the map shows two levels"
        )
    strangers = {point.top for point in report.points} - tops
    if strangers:
        raise InvalidInput(f"every map point must lie under a top interest, got {sorted(strangers)[:5]}")
