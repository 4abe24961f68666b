"""Figures of a training job: what went in comes out, in whatever it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.errors import InvalidInput
from honeyguide.plm.track import JsonlTracker, NoTracker, Tracker, Trackers, read_figures


def tell(tracker: Tracker) -> None:
    for step, loss in ((1, 3.0), (2, 2.5), (3, 2.0)):
        tracker.log(step, {"loss": loss})
    tracker.log(3, {"perplexity": 9.0})
    tracker.close()


def test_a_curve_is_read_as_it_was_told_also_by_a_job_that_went_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "figures.jsonl"
    tell(JsonlTracker(path))
    with path.open("a") as file:
        file.write('{"step": 4, "lo')  # killed in the middle of a line
    assert read_figures(path) == {"loss": [(1, 3.0), (2, 2.5), (3, 2.0)], "perplexity": [(3, 9.0)]}


def test_a_step_that_came_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    tell(JsonlTracker(path))
    again = JsonlTracker(path)
    again.log(3, {"loss": 1.5})
    again.close()
    assert read_figures(path)["loss"] == [(1, 3.0), (2, 2.5), (3, 1.5)]


@pytest.mark.slow
def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tell(Trackers.named(["tensorboard"], tmp_path))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 3.0), (2, 2.5), (3, 2.0)]


@pytest.mark.slow
def test_weights_and_biases_writes_a_run_without_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    tell(Trackers.named(["wandb"], tmp_path))
    runs = list((tmp_path / "wandb").rglob("*.wandb"))
    assert len(runs) == 1
    assert runs[0].stat().st_size > 0


def test_several_trackers_are_told_the_same_and_no_other_names_are_known(tmp_path: Path) -> None:
    tell(Trackers([NoTracker(), JsonlTracker(tmp_path / "a"), JsonlTracker(tmp_path / "b")]))
    assert read_figures(tmp_path / "a") == read_figures(tmp_path / "b")
    with pytest.raises(InvalidInput, match="jsonl, tensorboard, wandb"):
        Trackers.named(["abacus"], tmp_path)
