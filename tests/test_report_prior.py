"""What the report says of kinds of users, and what it leaves out where there is nothing to tell."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.evaluate.prior import read_prior
from honeyguide.evaluate.report.prior import prior_section
from honeyguide.evaluate.results import ReplayReport
from honeyguide.explore.kinds_chosen import PriorQuality
from honeyguide.shop.releases import POLICY
from tests.report_fixture import make_report


@pytest.fixture(scope="module")
def report() -> ReplayReport:
    return make_report()


def quality_of(report: ReplayReport) -> PriorQuality:
    assert report.prior is not None
    return report.prior


def test_each_prior_has_its_row(report: ReplayReport) -> None:
    html = prior_section(report)
    for words in (
        "3 kinds",
        "One kind",
        "With what they did before",
        "5.938",
        "6.010",
        "6.036",
        "96.1",
        "1,219",
    ):
        assert words in html


def test_one_kind_and_no_leaning_are_one_row(report: ReplayReport) -> None:
    quality = quality_of(report)
    alone = replace(quality, count=1, kinds=quality.one, leaning=None)
    html = prior_section(replace(report, prior=alone))
    assert "of one kind" in html
    assert "says no more" in html
    assert "With what they did before" not in html
    assert html.count("<tr>") == 2  # the heads and one prior


def test_too_few_users_are_told(report: ReplayReport) -> None:
    html = prior_section(replace(report, prior=None))
    assert "too few users" in html
    assert "<table" not in html


@pytest.mark.parametrize("leaning", [True, False])
def test_what_the_artefact_stores_is_what_the_report_reads(
    report: ReplayReport, tmp_path: Path, leaning: bool
) -> None:
    quality = quality_of(report)
    stored = quality if leaning else replace(quality, leaning=None)
    artifacts.save(tmp_path, POLICY, {"x": np.zeros(1)}, {"prior": asdict(stored)})
    assert read_prior(tmp_path) == stored


def test_a_policy_of_before_there_were_kinds_has_nothing_to_tell(tmp_path: Path) -> None:
    artifacts.save(tmp_path, POLICY, {"x": np.zeros(1)}, {})
    assert read_prior(tmp_path) is None
