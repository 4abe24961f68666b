"""What the report says of how the language model learned: the curves that were logged, or that there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.evaluate.language import read_language_model
from honeyguide.evaluate.report.language import language_section
from honeyguide.evaluate.results import Curve, LanguageModel, ReplayReport
from honeyguide.plm.files import LANGUAGE_MODEL
from tests.report_fixture import make_report


@pytest.fixture(scope="module")
def report() -> ReplayReport:
    return make_report()


def test_curves_and_the_fall_of_the_perplexity_are_shown(report: ReplayReport) -> None:
    html = language_section(report)
    for words in ("58.3", "27.4", "Hidden words", "Taken together", "Held-out texts", "step 300"):
        assert words in html
    assert "What follows what" not in html  # it was not learned


def test_a_model_taken_as_it_is_is_said_to_be(report: ReplayReport) -> None:
    html = language_section(replace(report, language=None))
    assert "taken as it is" in html
    assert "<svg" not in html


def test_a_short_job_and_one_without_held_out_texts_are_drawn(report: ReplayReport) -> None:
    one = LanguageModel(1, None, None, (Curve("causal", (1,), (3.0,)),))
    html = language_section(replace(report, language=one))
    assert "Reading on" in html
    assert "Held-out texts" not in html


def test_the_artefact_gives_back_what_was_logged(tmp_path: Path) -> None:
    assert read_language_model(tmp_path) is None
    curve = np.array([[1.0, 3.5], [2.0, 2.5]])
    meta = {"steps": 2, "before": 9.0, "after": 4.0}
    artifacts.save(tmp_path, LANGUAGE_MODEL, {"curve.masked": curve}, meta)
    assert read_language_model(tmp_path) == LanguageModel(2, 9.0, 4.0, (Curve("masked", (1, 2), (3.5, 2.5)),))
