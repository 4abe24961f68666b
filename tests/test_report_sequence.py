"""What the report says of how the sequence model learned, and of whether its chances can be believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from honeyguide.evaluate.report.sequence import sequence_section
from honeyguide.evaluate.results import Curve, ReplayReport, SequenceLearning
from tests.report_fixture import make_report


@pytest.fixture(scope="module")
def report() -> ReplayReport:
    return make_report()


def with_held_out(report: ReplayReport, held_out: tuple[float, ...]) -> ReplayReport:
    epochs = tuple(range(1, len(held_out) + 1))
    falling = tuple(5.0 - 0.1 * epoch for epoch in epochs)
    curves = (
        Curve("train", epochs, falling),
        Curve("held_out", epochs, held_out),
        Curve("ndcg", epochs, tuple(0.01 * epoch for epoch in epochs)),
        Curve("recall", epochs, tuple(0.02 * epoch for epoch in epochs)),
    )
    return replace(report, sequence=SequenceLearning(curves, "Nothing is mixed in.", None))


def test_curves_and_the_forecast_are_shown(report: ReplayReport) -> None:
    html = sequence_section(report)
    for words in ("Learned from", "Held out", "NDCG@10", "epoch 20", "Mixed in is", "58.0", "0.021", "2,400"):
        assert words in html


def test_learning_by_heart_is_told_where_it_happens_and_not_elsewhere(report: ReplayReport) -> None:
    assert "by heart." in sequence_section(with_held_out(report, (6.0, 5.0, 5.4)))
    assert "it began to learn" not in sequence_section(with_held_out(report, (6.0, 5.0, 5.05)))


def test_a_shop_without_the_model_says_so(report: ReplayReport) -> None:
    html = sequence_section(replace(report, sequence=None))
    assert "[sequence]" in html
    assert "<svg" not in html


def test_a_single_look_is_drawn_and_no_forecast_is_no_table(report: ReplayReport) -> None:
    html = sequence_section(with_held_out(report, (6.0,)))
    assert "epoch 1" in html
    assert "Forecast of the next interest" not in html


def test_what_is_wanted_beside_and_its_weight_are_drawn_where_there_is_a_balance(
    report: ReplayReport,
) -> None:
    assert "How much each counts" not in sequence_section(report)
    assert report.sequence is not None
    epochs = report.sequence.curves[0].steps
    beside = tuple(
        Curve(f"{kind} {name}", epochs, tuple(0.5 + 0.01 * epoch for epoch in epochs))
        for name in ("coverage", "calibration")
        for kind in ("held_out", "weight of")
    )
    html = sequence_section(
        replace(report, sequence=replace(report.sequence, curves=(*report.sequence.curves, *beside)))
    )
    for words in ("Wanted beside", "How much each counts", "Coverage", "Proportions"):
        assert words in html
