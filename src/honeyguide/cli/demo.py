"""`honeyguide demo`: the product's own commands, one after the other, on a year of real grocery shopping."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from honeyguide.cli.evaluating import evaluate_shop
from honeyguide.cli.show import Stages, show, show_evaluation
from honeyguide.config import FILE_NAME, Clean, Sequence, Settings
from honeyguide.data.demo import demo_files
from honeyguide.data.ingest import import_files
from honeyguide.evaluate.report import write_report
from honeyguide.fit import fit
from honeyguide.shop.workspace import Workspace

FIRST_DAY = datetime(2017, 1, 1, tzinfo=UTC)
SPLIT = datetime(2017, 10, 8, tzinfo=UTC)  # 40 weeks after the first day
NOT_RECOMMENDABLE = ("fuel", "coupon", "miscellaneous", "charitable cont", "postal center", "cntrl/store sup")


def run_demo(folder: Path, *, now: datetime, as_json: bool) -> None:
    """Everything in order; what an earlier run computed is not computed again."""
    workspace = demo_workspace(folder)
    path = workspace.reports / "report.html"
    with Stages(quiet=as_json) as stages:
        if not (workspace.data / "events.parquet").exists():
            with stages.stage("Import a year of grocery shopping") as progress:
                import_files(
                    workspace.data, demo_files(), format="completejourney", now=now, progress=progress
                )
        fit(workspace, now=now, until=SPLIT, stage=stages.stage)
        report = evaluate_shop(workspace, None, workers=None, stages=stages)
        with stages.stage("Write the report"):
            write_report(report, path)
    show_evaluation(report, as_json=as_json)
    if not as_json:
        show({}, f"Report: {path.resolve()}", as_json=False)


def demo_workspace(folder: Path) -> Workspace:
    """The demo's workspace, made where there is none."""
    if (folder / FILE_NAME).exists():
        return Workspace.at(folder)
    settings = Settings(
        name="Complete Journey grocery",
        clean=Clean(exclude_categories=NOT_RECOMMENDABLE),
        # on two cores it takes longer than all the rest, and nothing that the demo shows is better for it
        sequence=Sequence(steps=0),
    )
    return Workspace.create(folder, settings)
