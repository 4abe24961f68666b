"""What the report says of the heads, and how they are judged on what came after the fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from honeyguide.data.table import load_events
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.heads import judge_heads
from honeyguide.evaluate.report.heads import heads_section
from honeyguide.evaluate.report.reliability import reliability_chart
from honeyguide.interests.heads_quality import Reliability
from honeyguide.shop.models import Fitted, load_fitted
from honeyguide.shop.workspace import Workspace
from tests.fitted import fitted_shop
from tests.report_fixture import make_report
from tests.shop_fixture import SPLIT


def test_figures_and_rankings_are_told() -> None:
    html = heads_section(make_report())
    for words in (
        "Chance of a purchase",
        "0.861",
        "0.1092",
        "0.1446",
        "0.4290",
        "0.0820",
        "1,000",
        "NDCG@10",
    ):
        assert words in html
    assert ">-<" in html  # nothing new came to be found


def test_a_shop_without_heads_says_so() -> None:
    html = heads_section(replace(make_report(), heads=()))
    assert "were fitted" in html
    assert "<svg" not in html


def test_what_is_right_lies_on_the_diagonal() -> None:
    bins = (Reliability(0.1, 0.1, 0.5), Reliability(0.4, 0.4, 0.5))
    html = reliability_chart(bins, label="Reliability", width=600.0)
    x1, y1, x2, y2 = (
        float(re.search(rf'<line[^>]*{name}="([0-9.]+)"[^>]*class="mark"', html)[1])  # type: ignore[index]
        for name in ("x1", "y1", "x2", "y2")
    )
    dots = re.findall(r'cx="([0-9.]+)" cy="([0-9.]+)"', html)
    assert len(dots) == 2
    for cx, cy in dots:
        along = (float(cx) - x1) / (x2 - x1)
        assert float(cy) == pytest.approx(y1 + along * (y2 - y1), abs=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Fitted]:
    workspace = Workspace.at(fitted_shop(tmp_path_factory.getbasetemp()))
    return workspace, load_fitted(workspace.models, workspace.items)


def test_heads_are_judged_by_what_came_after_the_fit(shop: tuple[Workspace, Fitted], tmp_path: Path) -> None:
    workspace, fitted = shop
    table = load_events(workspace.events, fitted.catalog)
    (found,) = judge_heads(fitted, workspace.settings, table)
    assert found.kind == "purchase"
    assert found.quality.auc > 0.75
    assert found.quality.log_loss < 0.9 * found.quality.base_log_loss
    assert [one.name for one in found.ranked] == [
        "Chance of a purchase",
        "Expected reward",
        "What comes next",
    ]
    assert all(one.ndcg is not None and 0.3 < one.ndcg <= 1 for one in found.ranked)
    assert judge_heads(fitted, workspace.settings, table) == (found,)
    assert judge_heads(replace(fitted, heads=None), workspace.settings, table) == ()
    with pytest.raises(InvalidInput, match="closed reward window"):
        judge_heads(fitted, workspace.settings, table.between(until=SPLIT))
